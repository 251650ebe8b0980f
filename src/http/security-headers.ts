import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * Our pages load scripts and styles only from this server, never inline, so text that is injected into a page cannot
 * run. A page with other needs sets its own `Content-Security-Policy`.
 */
export const securityHeaders: RequestHandler = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'], // the documentation's icons
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
      objectSrc: ["'none'"],
    },
  },
  // The proxy that ends TLS decides this for the whole host name; browsers ignore the header over plain HTTP.
  strictTransportSecurity: false,
  referrerPolicy: { policy: 'no-referrer' },
});
