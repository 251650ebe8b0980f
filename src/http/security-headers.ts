import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * Our pages load scripts and styles from this server only, and none that stand in the page itself: text that found
 * its way into one could not run. A page with other needs sets a `Content-Security-Policy` of its own.
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
  // Whoever ends TLS in front of us decides for the whole host name; over plain HTTP browsers ignore it.
  strictTransportSecurity: false,
  referrerPolicy: { policy: 'no-referrer' },
});
