import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { paymentsOf } from '../support/books.js';
import { lossyProxy, type Fate } from '../support/lossy-proxy.js';
import { recipe } from '../support/recipes.js';
import { startService, type Service } from '../support/service.js';

const apiKey = 'sk_test_acme';
const CARD = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };
const DECLINED = { ...CARD, payment_method: 'pm_card_visa_chargeDeclined' };

let service: Service;
let proxy: Awaited<ReturnType<typeof lossyProxy>>;
let home: string;
beforeAll(async () => {
  service = await startService();
  proxy = await lossyProxy(service.apiUrl);
  home = await mkdtemp(join(tmpdir(), 'charge-once-clients-'));
});
afterAll(async () => {
  await proxy.close();
  await service.stop();
  await rm(home, { recursive: true, force: true });
});

interface Printed {
  status?: number;
  body?: { id: string; status: string; retry?: string };
  error?: string;
  pauses: number;
}

/** Runs a program that prints one line of JSON. */
async function run(command: string, args: string[], env = {}): Promise<Printed> {
  const child = spawn(command, args, {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await text(child.stdout)) as Printed;
}

/** A driver calls the recipe once with (api, apiKey, key, body) and counts its pauses instead of waiting. */
interface Language {
  name: string;
  there: boolean;
  prepare(): Promise<void>;
  call(api: string, apiKey: string, key: string, body: object): Promise<Printed>;
}

const works = (command: string, arg: string) => spawnSync(command, [arg]).status === 0;

const PYTHON_DRIVER = `import json, sys
from charge_once import OutcomeUnknown, charge_once
pauses = []
api, api_key, key, body = sys.argv[1:]
try:
    status, answer = charge_once(api, api_key, key, json.loads(body), sleep=pauses.append)
    print(json.dumps({"status": status, "body": answer, "pauses": len(pauses)}))
except OutcomeUnknown as error:
    print(json.dumps({"error": str(error), "pauses": len(pauses)}))
`;

const GO_DRIVER = `package main

import (
	"encoding/json"
	"os"
	"recipe/chargeonce"
	"time"
)

func main() {
	pauses := 0
	chargeonce.Pause(func(time.Duration) { pauses++ })
	var body any
	_ = json.Unmarshal([]byte(os.Args[4]), &body)
	printed := map[string]any{}
	answer, err := chargeonce.ChargeOnce(os.Args[1], os.Args[2], os.Args[3], body)
	if err != nil {
		printed["error"] = err.Error()
	} else {
		printed["status"], printed["body"] = answer.Status, answer.Body
	}
	printed["pauses"] = pauses
	_ = json.NewEncoder(os.Stdout).Encode(printed)
}
`;

const languages: Language[] = [
  {
    name: 'Python',
    there: works('python3', '--version'),
    async prepare() {
      await writeFile(join(home, 'charge_once.py'), recipe('charge-once-python'));
      await writeFile(join(home, 'driver.py'), PYTHON_DRIVER);
    },
    call: (api, by, key, body) => run('python3', ['driver.py', api, by, key, JSON.stringify(body)]),
  },
  {
    name: 'Go',
    there: works('go', 'version'),
    async prepare() {
      const folder = join(home, 'chargeonce');
      await mkdir(folder);
      await writeFile(join(home, 'go.mod'), 'module recipe\n\ngo 1.19\n');
      await writeFile(join(folder, 'charge_once.go'), recipe('charge-once-go'));
      const seam =
        'package chargeonce\n\nimport "time"\n\nfunc Pause(by func(time.Duration)) { pause = by }\n';
      await writeFile(join(folder, 'seam.go'), seam);
      await writeFile(join(home, 'main.go'), GO_DRIVER);
      const env = { ...process.env, GOFLAGS: '-mod=mod', GOPROXY: 'off', GOTOOLCHAIN: 'local' };
      const build = spawnSync('go', ['build', '-o', 'driver', '.'], { cwd: home, env });
      expect([build.status, build.stderr.toString()]).toEqual([0, '']);
      const format = spawnSync('gofmt', ['-l', 'chargeonce/charge_once.go'], { cwd: home });
      expect(format.stdout.toString()).toBe('');
    },
    call: (api, by, key, body) => run(join(home, 'driver'), [api, by, key, JSON.stringify(body)]),
  },
];

for (const language of languages) {
  const { name, there } = language;
  const here = there ? describe : describe.skip;
  here(`the recipe in ${name}${there ? '' : ' (skipped: it is not installed here)'}`, () => {
    beforeAll(() => language.prepare());

    test('charges once through lost requests, lost responses and a proxy’s page', async () => {
      const key = randomUUID();
      const page: Fate = { status: 502, body: '<html>' };
      proxy.next('lose-request', 'lose-response', page, { status: 429, body: '{}' });
      const { status, body, pauses } = await language.call(proxy.url, apiKey, key, CARD);
      expect([status, body?.status]).toEqual([201, 'succeeded']);
      expect(pauses).toBeGreaterThan(0);
      expect(new Set(proxy.keys.slice(-5))).toEqual(new Set([key]));
      expect(await paymentsOf(service.sandboxUrl, body?.id ?? '')).toHaveLength(1);
    });

    test('obeys `retry`', async () => {
      const key = randomUUID();
      const answers = [
        await language.call(proxy.url, apiKey, key, DECLINED),
        await language.call(proxy.url, apiKey, key, CARD),
        await language.call(proxy.url, apiKey, randomUUID(), {}),
      ];
      expect(answers.map(({ status, body, pauses }) => [status, body?.retry, pauses])).toEqual([
        [402, 'new_key', 0],
        [422, 'no', 0],
        [400, 'after_fix', 0],
      ]);
    });

    test('reports an unknown outcome after its last attempt', async () => {
      const key = randomUUID();
      const { error, pauses } = await language.call('http://127.0.0.1:9', apiKey, key, CARD);
      expect([error, pauses]).toEqual([`no outcome yet for ${key}`, 8]);
    });
  });
}
