import type { z } from 'zod'
import { ConfigError, type Mistake } from '../errors.js'
import { nearest } from './nearest.js'
import { knownKeys } from './shapes.js'

export type Path = readonly PropertyKey[]

/** Gathers the mistakes of a configuration, so that they can be told all at once. */
export class Report {
  readonly #mistakes: Mistake[] = []

  add(path: Path, message: string, hint?: string): void {
    this.#mistakes.push({ path: formatPath(path), message, hint })
  }

  /** A name that is not known: with the nearest one, or else all of them. */
  unknown(name: string, what: string, known: Iterable<string>, path: Path): void {
    const names = [...known]
    const near = nearest(name, names)
    const hint = near === undefined ? `known are ${names.join(', ')}` : `did you mean ${near}?`
    this.add(path, `there is no ${what} of this name`, hint)
  }

  /** The parsed value, or `undefined` once its mistakes are noted; `alsoKnown` are settings that are parsed elsewhere. */
  parse<Schema extends z.ZodType>(
    schema: Schema,
    value: unknown,
    path: Path,
    alsoKnown: readonly string[] = [],
  ): z.output<Schema> | undefined {
    const result = schema.safeParse(value, { reportInput: true })
    if (result.success) return result.data
    for (const issue of result.error.issues) {
      const known = issue.path.length === 0 ? alsoKnown : []
      this.#addIssue(issue, [...path, ...issue.path], [...known, ...knownKeys(schema, issue.path)])
    }
    return undefined
  }

  /** Ends the checks: throws all that was noted, else gives the value that was parsed without a mistake. */
  finish<T>(value: T | undefined): T {
    if (this.#mistakes.length > 0 || value === undefined) throw new ConfigError(this.#mistakes)
    return value
  }

  #addIssue(issue: z.core.$ZodIssue, path: Path, known: readonly string[]): void {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) this.unknown(key, 'setting', known, [...path, key])
    } else if (issue.code === 'invalid_type') {
      this.add(path, issue.input === undefined ? 'is missing' : `has to be ${kinds[issue.expected] ?? issue.expected}`)
    } else if (issue.code === 'invalid_value') {
      const words = issue.values.map(String)
      const near = typeof issue.input === 'string' ? nearest(issue.input, words) : undefined
      const said = typeof issue.input === 'string' ? `${JSON.stringify(issue.input)} is not known` : 'is not known'
      this.add(
        path,
        said,
        near === undefined ? `known are ${words.join(', ')}${orNewer(path)}` : `did you mean ${near}?`,
      )
    } else if (issue.code === 'invalid_union') {
      this.add(path, 'has to be JSON')
    } else {
      this.add(path, issue.message)
    }
  }
}

/** How to pass a word on purpose that the API has and this version does not know. */
function orNewer(path: Path): string {
  const [before, last] = path.slice(-2)
  if (last === 'content_type') return "; a newer one is passed on with unchecked: { content_type: '…' }"
  if (before === 'display_hint') return "; a newer one is passed on with unchecked: { display_hint: { type: '…' } }"
  return ''
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
}

/** As it would be written in the user's file: `models.Product.fields.title`, `tables["public.products"][1]`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`
    else if (/^[A-Za-z_$][\w$]*$/.test(String(key))) text += text === '' ? String(key) : `.${String(key)}`
    else text += `[${JSON.stringify(String(key))}]`
  }
  return text === '' ? '(the configuration)' : text
}
