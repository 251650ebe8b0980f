import 'reflect-metadata';
import { Injectable, type ArgumentMetadata, type PipeTransform } from '@nestjs/common';
import { getMetadataStorage, validate, ValidateIf, type ValidationError } from 'class-validator';
import { jsonPointer } from '../../idempotency/identity.js';
import { validationFailed, type InputError } from '../problems/problem.js';
import { custom, isText, METADATA_LIMITS } from './rules.js';

/** A class whose decorators check a body or a query. */
export type Dto = new () => object;

/** An optional member. Unlike `@IsOptional()` it refuses `null`. */
export const MayBeAbsent = () => ValidateIf((_dto, value) => value !== undefined);

const ELEMENT = Symbol('ELEMENT');

/**
 * An array whose elements are of another DTO class: class-validator does not know the class of a plain value. Combine
 * with `@ValidateNested({ each: true })`.
 */
export const ElementsOf = (element: Dto): PropertyDecorator => Reflect.metadata(ELEMENT, element);

export function elementOf(owner: Dto, member: string): Dto | undefined {
  return Reflect.getMetadata(ELEMENT, owner.prototype as object, member) as Dto | undefined;
}

/**
 * Turns bodies and query strings into DTOs, strictly: it refuses unknown members, `null` and repeated parameters. Not
 * Nest's ValidationPipe, which silently drops `constructor` and `__proto__` and accepts `null`.
 */
@Injectable()
export class StrictValidationPipe implements PipeTransform {
  async transform(value: unknown, { metatype, type }: ArgumentMetadata): Promise<unknown> {
    // PostgreSQL cannot store U+0000, so no id contains it. An empty id also matches no object.
    if (type === 'param' && String(value).includes('\0')) return '';
    if (type === 'param' || type === 'custom' || !metatype || metatype === Object) return value;
    const errors: InputError[] = [];
    const source = type === 'query' ? singleValues(value, errors) : value;
    const dto = instantiate(metatype as Dto, source, '', errors);
    const broken = await validate(dto as object, { forbidUnknownValues: false });
    collect(broken, '', errors);
    if (errors.length > 0) throw validationFailed(firstPerPointer(errors));
    return dto;
  }
}

function singleValues(query: unknown, errors: InputError[]): object {
  const single = Object.create(null) as Record<string, unknown>; // so that `__proto__` is an ordinary name
  for (const [name, value] of Object.entries(query as object)) {
    if (Array.isArray(value))
      errors.push({ pointer: jsonPointer('', name), detail: 'is given more than once' });
    else if (String(value).includes('\0'))
      errors.push({ pointer: jsonPointer('', name), detail: 'contains U+0000' });
    else single[name] = value;
  }
  return single;
}

/** Copies only known members, and reports each of the others. */
function instantiate(dtoClass: Dto, plain: unknown, path: string, errors: InputError[]): unknown {
  if (typeof plain !== 'object' || plain === null || Array.isArray(plain)) return plain;
  const known = membersOf(dtoClass);
  const dto = new dtoClass() as Record<string, unknown>;
  for (const [name, value] of Object.entries(plain)) {
    const at = jsonPointer(path, name);
    if (!known.has(name)) errors.push({ pointer: at, detail: 'is not a member of this request' });
    else if (value === null)
      errors.push({ pointer: at, detail: 'must not be null; leave it out instead' });
    else dto[name] = elements(elementOf(dtoClass, name), value, at, errors);
  }
  return dto;
}

function elements(
  element: Dto | undefined,
  value: unknown,
  path: string,
  errors: InputError[],
): unknown {
  if (!element || !Array.isArray(value)) return value;
  return value.map((each, index) => {
    const at = `${path}/${index}`;
    if (typeof each === 'object' && each !== null && !Array.isArray(each))
      return instantiate(element, each, at, errors);
    // Reported here, because class-validator accepts a list inside a list.
    errors.push({ pointer: at, detail: 'must be an object' });
    return each;
  });
}

function membersOf(dtoClass: Dto): Set<string> {
  const metadata = getMetadataStorage().getTargetValidationMetadatas(dtoClass, '', false, false);
  return new Set(metadata.map(({ propertyName }) => propertyName));
}

function collect(broken: ValidationError[], path: string, errors: InputError[]): void {
  for (const { property, value, constraints, children } of broken) {
    const at = jsonPointer(path, property);
    if (constraints?.isMetadata !== undefined) {
      errors.push(...brokenPairs(value, at));
      continue;
    }
    // class-validator lists constraints from the last decorator to the first; the first one names the type.
    for (const detail of Object.values(constraints ?? {}).reverse()) {
      errors.push({ pointer: at, detail: withoutName(detail, property) });
    }
    collect(children ?? [], at, errors);
  }
}

/**
 * class-validator's messages begin with the member's name, which the pointer already has. Ours may have it elsewhere.
 */
function withoutName(detail: string, property: string): string {
  for (const [start, rest] of [
    [`${property} `, ''],
    [`each value in ${property} `, 'each value '],
  ] as const) {
    if (detail.startsWith(start)) return rest + detail.slice(start.length);
  }
  return detail;
}

/** One error for each pointer is enough. */
function firstPerPointer(errors: InputError[]): InputError[] {
  const seen = new Set<string>();
  return errors.filter(({ pointer: at }) => !seen.has(at) && seen.add(at));
}

/** The pipe reports each pair. */
export function IsMetadata(): PropertyDecorator {
  const isValid = (value: unknown) => brokenPairs(value, '').length === 0;
  return custom('isMetadata', 'is not valid metadata', isValid);
}

function brokenPairs(value: unknown, path: string): InputError[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [{ pointer: path, detail: 'must be an object of strings' }];
  }
  const pairs = Object.entries(value);
  const limits = METADATA_LIMITS;
  if (pairs.length > limits.pairs)
    return [{ pointer: path, detail: `must have at most ${limits.pairs} pairs` }];
  return pairs.flatMap(([key, text]) => {
    const pointer = jsonPointer(path, key);
    if (!isText(key, 1, limits.keyCharacters))
      return [{ pointer, detail: `must have a key of 1 to ${limits.keyCharacters} characters` }];
    if (!isText(text, 0, limits.valueCharacters))
      return [
        { pointer, detail: `must be a string of at most ${limits.valueCharacters} characters` },
      ];
    return [];
  });
}
