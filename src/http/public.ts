import { SetMetadata } from '@nestjs/common';

export const PUBLIC = Symbol('PUBLIC');

/** Marks a route that needs no API key. All other routes need one. */
export const Public = () => SetMetadata(PUBLIC, true);
