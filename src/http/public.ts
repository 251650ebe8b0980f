import { SetMetadata } from '@nestjs/common';

export const PUBLIC = Symbol('PUBLIC');

/** Needs no API key. Everything else does. */
export const Public = () => SetMetadata(PUBLIC, true);
