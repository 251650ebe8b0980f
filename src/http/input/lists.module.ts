import { Module } from '@nestjs/common';
import { ListReads } from './list-reads.js';

/** For modules with lists: they share the turns of one process. */
@Module({ providers: [ListReads], exports: [ListReads] })
export class ListsModule {}
