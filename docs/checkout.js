// The page creates the key when it loads and keeps it until the purchase has ended: after a reload, a second click or a
// lost answer it sends the same key. Your server has the API key; the page sends it the order and this key.
const form = document.querySelector('#checkout');
const result = document.querySelector('#result');
const slot = `charge key of ${form.dataset.order}`;

function currentKey() {
  const kept = sessionStorage.getItem(slot);
  if (kept) return kept;
  const made = crypto.randomUUID(); // needs https, or localhost
  sessionStorage.setItem(slot, made);
  return made;
}
currentKey();

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { payment_method } = Object.fromEntries(new FormData(form));
  const key = currentKey();
  let answer;
  try {
    answer = await fetch('/pay', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ order: form.dataset.order, payment_method, key }),
    });
    answer = { ...(await answer.json()), status: answer.status };
  } catch {
    answer = { retry: 'same_key' }; // no answer says nothing about the payment
  }
  if (answer.status === 201) {
    result.textContent = 'Paid. Thank you.';
  } else if (answer.retry === 'new_key') {
    if (sessionStorage.getItem(slot) !== key) return; // a late answer: the next attempt may be running
    sessionStorage.removeItem(slot); // this attempt has ended, nothing was taken
    result.textContent = 'The card was declined. Try another one.';
  } else if (answer.code === 'order_already_paid') {
    result.textContent = 'This order is paid already.';
  } else if (answer.retry === 'same_key') {
    result.textContent = 'We do not know yet. Press Pay again: you will not be charged twice.';
  } else {
    result.textContent = `That did not work: ${answer.detail}`;
  }
});
