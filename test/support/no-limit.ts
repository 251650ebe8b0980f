/** Rate limits that no test reaches, however fast its machine is. Tests about rate limits set their own. */
export const NO_LIMIT = { RATE_LIMIT_PER_SECOND: '100000', RATE_LIMIT_BURST: '100000' };
