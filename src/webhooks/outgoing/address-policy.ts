import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import { lookup as dnsLookupAsync } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { validationFailed } from '../../platform/problem.js';

/**
 * Where webhooks may go. An endpoint's URL is a merchant's input that makes *our* server open connections, so without
 * this it reads our cloud's metadata service or speaks to our own ports (server-side request forgery).
 */
export interface AddressPolicy {
  /** In production: https only, public addresses only. Elsewhere http and loopback are allowed as well. */
  production: boolean;
}

/** Only global unicast is the internet; whatever else `ipaddr.js` names (private, link-local, NAT64, …) is not. */
function isAllowed(address: string, { production }: AddressPolicy): boolean {
  const range = ipaddr.process(address).range(); // unwraps ::ffff:127.0.0.1
  return range === 'unicast' || (!production && range === 'loopback');
}

/**
 * Checks an endpoint's URL when it is saved. Names are resolved, too, but a name that cannot be resolved now may be
 * later: what counts is the check at each connection.
 * @throws Problem `validation_failed` at `/url`.
 */
export async function checkEndpointUrl(text: string, policy: AddressPolicy): Promise<void> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const protocols = policy.production ? ['https:'] : ['https:', 'http:'];
  if (!url || !protocols.includes(url.protocol)) {
    throw refused(policy.production ? 'must be an https URL' : 'must be an http or https URL');
  }
  if (url.username || url.password) throw refused('must not have a user name or password in it');
  if (url.hash) throw refused('must not have a fragment');
  const host = hostOf(url);
  const addresses = isIP(host)
    ? [{ address: host }]
    : await dnsLookupAsync(host, { all: true }).catch(() => []);
  if (!addresses.every(({ address }) => isAllowed(address, policy)))
    throw refused('must be a public address');
}

/** The host without the brackets of IPv6. The URL parser has turned 0x7f.1 and 2130706433 into 127.0.0.1. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

export class AddressRefused extends Error {}

/** @throws AddressRefused for a literal address that is not allowed; names are checked by `guardedLookup`. */
export function checkLiteral(url: URL, policy: AddressPolicy): void {
  const host = hostOf(url);
  if (isIP(host) && !isAllowed(host, policy))
    throw new AddressRefused(`${host} is not a public address`);
  if (policy.production && url.protocol !== 'https:') throw new AddressRefused('not https');
}

/** Resolves for one connection: the addresses that were checked are the ones that are used (DNS rebinding). */
export function guardedLookup(policy: AddressPolicy): LookupFunction {
  return (hostname, options, callback) => {
    dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, '', 0);
      const refusedOne = addresses.find(({ address }) => !isAllowed(address, policy));
      if (refusedOne)
        return callback(new AddressRefused(`${refusedOne.address} is not a public address`), '', 0);
      const first = addresses[0];
      if (options.all) callback(null, addresses);
      else callback(null, first?.address ?? '', first?.family);
    });
  };
}

function refused(detail: string) {
  return validationFailed([{ pointer: '/url', detail }]);
}
