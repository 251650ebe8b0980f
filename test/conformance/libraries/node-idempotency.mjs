// @node-idempotency/nestjs: the module with a storage, and `@Idempotent()` on the handlers. The storage is its Redis
// adapter if REDIS_URL is set, otherwise the one in memory. The decorators are applied by hand: this file runs without
// a compiler.
import 'reflect-metadata';
import { Body, Controller, Get, HttpException, Module, Post, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Idempotent, NodeIdempotencyModule } from '@node-idempotency/nestjs';
import { authenticate, list, make } from './things.mjs';

class Things {
  list({ account }) {
    return list(account);
  }
  async make({ account }, terms) {
    const { status, body } = await make(account, terms);
    if (status !== 201) throw new HttpException(body, status);
    return body;
  }
}
const { prototype } = Things;
const on = (name) => [prototype, name, Object.getOwnPropertyDescriptor(prototype, name)];
Get('things')(...on('list'));
Post(['things', 'others'])(...on('make'));
Idempotent({ enforceIdempotency: true })(...on('make'));
Req()(prototype, 'list', 0);
Req()(prototype, 'make', 0);
Body()(prototype, 'make', 1);
Controller()(Things);

class App {}
const url = process.env.REDIS_URL;
const storage = url ? { adapter: 'redis', options: { url } } : { adapter: 'memory' };
Module({ imports: [NodeIdempotencyModule.forRootAsync({ storage })], controllers: [Things] })(App);
const app = await NestFactory.create(App, { logger: ['error'] });
app.use(authenticate);
await app.listen(Number(process.env.PORT), '127.0.0.1');
