import { RequestMethod, type Type } from '@nestjs/common';
import {
  HEADERS_METADATA,
  METHOD_METADATA,
  PARAMTYPES_METADATA,
  PATH_METADATA,
} from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { ModulesContainer } from '@nestjs/core';
import { nameOfOperation, IDEMPOTENT } from '../idempotency/idempotent.interceptor.js';
import { descriptionOf, tagOf, type Description } from '../http/description/route.js';
import { BODY } from '../http/input/body.guard.js';
import { positionOf } from '../http/input/undeclared-input.interceptor.js';
import type { Dto } from '../http/input/validation.js';
import { PUBLIC } from '../http/public.js';

/** What the decorators of a handler describe. */
export interface Route extends Description {
  method: string;
  /** The template of the path, for example `/charges/{id}`. */
  template: string;
  tag: string;
  isPublic: boolean;
  /** Needs an `Idempotency-Key`. */
  keyed: boolean;
  query?: Dto;
  body?: Dto;
  bodyKind?: 'optional' | 'raw';
  mediaType: string;
}

const TAGS: readonly string[] = 'Charges Refunds Orders Products Events Keys Operation Lab'.split(
  ' ',
);
const METHODS: readonly string[] = 'POST GET PUT DELETE'.split(' ');

export function routesIn(modules: ModulesContainer): Route[] {
  const controllers = [...modules.values()].flatMap((module) =>
    [...module.controllers.values()].map(({ metatype }) => metatype as Type),
  );
  return controllers.flatMap(routesOf).sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

function rank({ tag, template, method }: Route): string {
  return [TAGS.indexOf(tag), template, METHODS.indexOf(method)].join(' ');
}

function routesOf(controller: Type): Route[] {
  const prototype = controller.prototype as Record<string, object>;
  return Object.getOwnPropertyNames(prototype).flatMap((member) => {
    const handler = prototype[member]!;
    const verb = read<RequestMethod>(METHOD_METADATA, handler);
    if (member === 'constructor' || verb === undefined) return [];
    const paths = [controller, handler].map((part) => read<string>(PATH_METADATA, part) ?? '');
    const path = paths.flatMap((part) => part.split('/').filter(Boolean)).join('/');
    const name = nameOfOperation(RequestMethod[verb], `/${path}`);
    const [method = '', template = ''] = name.split(' ');
    const tag = tagOf(handler) ?? tagOf(controller);
    const description = descriptionOf(handler);
    if (!description || !tag) throw new Error(`${name} needs @Describe() and @Tagged()`);
    const headers = read<{ name: string; value: string }[]>(HEADERS_METADATA, handler) ?? [];
    const type = headers.find((header) => header.name === 'Content-Type')?.value;
    return {
      ...description,
      method,
      template,
      tag,
      isPublic: (read(PUBLIC, handler) ?? read(PUBLIC, controller)) === true,
      keyed: read(IDEMPOTENT, handler) === true,
      query: declared(controller, member, RouteParamtypes.QUERY),
      body: declared(controller, member, RouteParamtypes.BODY),
      bodyKind: read<'optional' | 'raw'>(BODY, handler),
      mediaType: type?.split(';')[0] ?? 'application/json',
    };
  });
}

/** The class that checks a handler's `@Query()` or `@Body()`. */
function declared(controller: Type, member: string, kind: RouteParamtypes): Dto | undefined {
  const position = positionOf(kind, controller, member);
  const prototype = controller.prototype as object;
  const types = Reflect.getMetadata(PARAMTYPES_METADATA, prototype, member) as Dto[];
  return position === undefined ? undefined : types[position];
}

function read<Value>(key: string | symbol, target: object): Value | undefined {
  return Reflect.getMetadata(key, target) as Value | undefined;
}
