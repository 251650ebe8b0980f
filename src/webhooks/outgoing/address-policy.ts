import { lookup, Resolver } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { validationFailed } from '../../http/problems/problem.js';

export type Resolve = (host: string) => Promise<string[]>;

/**
 * Where webhooks may go. A merchant's URL makes *our* server open connections. Without this policy, a URL could read
 * our cloud's metadata service or reach our internal ports (server-side request forgery). Proof:
 * test/white-box/webhooks/addresses.spec.ts.
 */
export interface AddressPolicy {
  /** Only https, public names and public addresses. If false, http and the loopback are also allowed. */
  publicOnly: boolean;
  resolve: Resolve;
}

export function addressPolicy(publicOnly: boolean): AddressPolicy {
  return { publicOnly, resolve: publicOnly ? resolvePublicly : resolveLocally };
}

/**
 * A public-looking address that is a service of the Azure host:
 * https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
 */
const CLOUD_ADDRESSES = new Set(['168.63.129.16']);

/** The IPv6 range allocated as global unicast (RFC 4291, section 2.5.4). `ipaddr.js` calls more than this unicast. */
const GLOBAL_UNICAST_6 = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * Names that resolve only inside a network (RFC 6761, 6762, 8375; ICANN's .internal, .corp and .home; a cluster's
 * .svc), and names without a dot.
 */
const PRIVATE_NAMES =
  /^[^.]*$|\.(?:localhost|local|localdomain|internal|intranet|lan|svc|corp|home|home\.arpa)$/;

/**
 * Characters that the URL parser removes or that are invisible: the URL that is shown would not be the one that is
 * used.
 */
const UNSEEN = /[\s\p{Cc}\p{Cf}]/u;

function isAllowed(address: string, { publicOnly }: AddressPolicy): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address); // unwraps ::ffff:127.0.0.1
  const range = parsed.range();
  if (range === 'loopback') return !publicOnly;
  // Every other named range (private, link-local, NAT64, 6to4, …) is not the public internet.
  if (range !== 'unicast' || CLOUD_ADDRESSES.has(parsed.toString())) return false;
  return parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST_6);
}

/** Checks the parts of a URL that need no DNS. @returns what is wrong with it. */
function whyRefused(url: URL, policy: AddressPolicy): string | undefined {
  const { publicOnly } = policy;
  if (url.protocol !== 'https:' && (publicOnly || url.protocol !== 'http:'))
    return publicOnly ? 'must be an https URL' : 'must be an http or https URL';
  if (url.username || url.password) return 'must not have a user name or password in it';
  if (url.hash) return 'must not have a fragment';
  const host = hostOf(url);
  const isPublic = isIP(host) ? isAllowed(host, policy) : !publicOnly || !PRIVATE_NAMES.test(host);
  return isPublic ? undefined : 'must be a public address';
}

/**
 * Checks an endpoint's URL when it is saved. A name that does not resolve now is accepted, because it may resolve
 * later; the check at each connection decides.
 * @throws Problem `validation_failed` at `/url`.
 */
export async function checkEndpointUrl(text: string, policy: AddressPolicy): Promise<void> {
  if (UNSEEN.test(text)) throw refused('must not have blanks or invisible characters in it');
  if (!URL.canParse(text)) throw refused('must be a URL');
  const url = new URL(text);
  const reason = whyRefused(url, policy);
  if (reason !== undefined) throw refused(reason);
  const host = hostOf(url);
  const addresses = isIP(host) ? [] : await policy.resolve(host).catch(() => []);
  if (!addresses.every((address) => isAllowed(address, policy)))
    throw refused('must be a public address');
}

/** The normalised host. The URL parser has already turned 0x7f.1 and 2130706433 into 127.0.0.1. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.+$/, '');
}

/** We ended the attempt. Merchants see the message, so it must not reveal what a name resolves to in our network. */
export class SendingRefused extends Error {}

const ADDRESS_REFUSED = 'the address is not allowed';

/** Call before each connection. @throws SendingRefused. `guardedLookup` checks the addresses of a name. */
export function checkBeforeConnecting(url: URL, policy: AddressPolicy): void {
  if (whyRefused(url, policy) !== undefined) throw new SendingRefused(ADDRESS_REFUSED);
}

/** Resolves for one connection: the checked addresses are the ones used, so DNS rebinding gains nothing. */
export function guardedLookup(policy: AddressPolicy): LookupFunction {
  return (hostname, { all }, callback) => {
    policy.resolve(hostname).then(
      (addresses) => {
        if (addresses.length === 0 || !addresses.every((address) => isAllowed(address, policy)))
          return callback(new SendingRefused(ADDRESS_REFUSED), '', 0);
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        if (all) callback(null, found);
        else callback(null, found[0]!.address, found[0]!.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}

/**
 * Asks DNS only, not this machine's hosts file. `dns.lookup` would also let a silent name server block one of the
 * process' four threads.
 */
async function resolvePublicly(host: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  const found = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const addresses = found.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
  if (addresses.length === 0 && found[0].status === 'rejected') throw found[0].reason;
  return addresses;
}

/** Resolves as other programs on this machine do, so that `localhost` works. */
async function resolveLocally(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function refused(detail: string) {
  return validationFailed([{ pointer: '/url', detail }]);
}
