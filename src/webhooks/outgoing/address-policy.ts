import { Resolver } from 'node:dns/promises';
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { validationFailed } from '../../http/problems/problem.js';

/** Finds the addresses of a name, as text. */
export type Resolve = (host: string) => Promise<string[]>;

/**
 * Where webhooks may go. An endpoint's URL is a merchant's input that makes *our* server open connections, so without
 * this it reads our cloud's metadata service or speaks to our own ports (server-side request forgery).
 * Proof: test/white-box/webhooks/addresses.spec.ts.
 */
export interface AddressPolicy {
  /** https only, public names and addresses only. Otherwise http and the loopback are allowed as well. */
  publicOnly: boolean;
  resolve: Resolve;
}

export function addressPolicy(publicOnly: boolean): AddressPolicy {
  return { publicOnly, resolve: publicOnly ? resolvePublicly : resolveLocally };
}

/**
 * Looks like the internet, is the host's own service: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
 */
const CLOUD_ADDRESSES = new Set(['168.63.129.16']);

/** All of IPv6 that has been given out as global unicast (RFC 4291, section 2.5.4); `ipaddr.js` calls more of it so. */
const GLOBAL_UNICAST_6 = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * Names that mean something inside a network only (RFC 6761, 6762, 8375; ICANN's .internal, .corp and .home; a cluster's
 * .svc), and names without a dot.
 */
const PRIVATE_NAMES =
  /^[^.]*$|\.(?:localhost|local|localdomain|internal|intranet|lan|svc|corp|home|home\.arpa)$/;

/** What a URL's parser takes out, or what nobody sees: the text that is shown would not be the address that is used. */
const UNSEEN = /[\s\p{Cc}\p{Cf}]/u;

/** Whether a connection to this address may be made. */
function isAllowed(address: string, { publicOnly }: AddressPolicy): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address); // unwraps ::ffff:127.0.0.1
  const range = parsed.range();
  if (range === 'loopback') return !publicOnly;
  // Whatever else has a name of its own (private, link-local, NAT64, 6to4, …) leads to somewhere else.
  if (range !== 'unicast' || CLOUD_ADDRESSES.has(parsed.toString())) return false;
  return parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST_6);
}

/** What of a URL can be judged without asking anybody. @returns what is wrong with it. */
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
 * Checks an endpoint's URL when it is saved. Names are resolved, too, but a name that cannot be resolved now may be
 * later: what counts is the check at each connection.
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

/** The host in its plainest form. The URL parser has turned 0x7f.1 and 2130706433 into 127.0.0.1. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.+$/, '');
}

/** Its text is shown to the merchant, so that it does not say what a name of our network resolves to. */
export class AddressRefused extends Error {
  constructor() {
    super('the address is not allowed');
  }
}

/** Before each connection. @throws AddressRefused; the addresses of a name are checked by `guardedLookup`. */
export function checkBeforeConnecting(url: URL, policy: AddressPolicy): void {
  if (whyRefused(url, policy) !== undefined) throw new AddressRefused();
}

/** Resolves for one connection: the addresses that were checked are the ones that are used (DNS rebinding). */
export function guardedLookup(policy: AddressPolicy): LookupFunction {
  return (hostname, { all }, callback) => {
    policy.resolve(hostname).then(
      (addresses) => {
        if (addresses.length === 0 || !addresses.every((address) => isAllowed(address, policy)))
          return callback(new AddressRefused(), '', 0);
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        if (all) callback(null, found);
        else callback(null, found[0]!.address, found[0]!.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}

/**
 * The DNS itself, without this machine's own names. (`dns.lookup` would also take one of the process' four threads for
 * as long as a hostile name server likes to be silent.)
 */
async function resolvePublicly(host: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  const found = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const addresses = found.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
  if (addresses.length === 0 && found[0].status === 'rejected') throw found[0].reason;
  return addresses;
}

/** As every other program on this machine, so that `localhost` is one. */
async function resolveLocally(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function refused(detail: string) {
  return validationFailed([{ pointer: '/url', detail }]);
}
