import type { FieldSettings, Json, Mapping } from '../config/resolved.js'
import { ConfigError, type Mistake } from '../errors.js'
import { fieldPath } from './bind-names.js'
import { fingerprint } from './fingerprint.js'

/** What a namespace's settings are to be: the body of `PUT /v1/data/{namespace}/settings` is `{ schema }`. */
export interface NamespaceSchema {
  readonly namespace: string
  /** Every field that is sent, `{}` where it has no settings: the call replaces the settings as a whole. */
  readonly schema: Readonly<Record<string, FieldSettings>>
  /** Of the schema, whatever the order in which it was written. */
  readonly fingerprint: string
}

/**
 * The schema of each namespace. Mappings into one namespace are merged, setting by setting.
 * @throws ConfigError where two of them say different things of one field.
 */
export function namespaceSchemas(mappings: readonly Mapping[]): NamespaceSchema[] {
  const mistakes: Mistake[] = []
  const namespaces = new Map<string, Map<string, Map<string, Said>>>()
  for (const mapping of mappings) {
    const schema = namespaces.get(mapping.namespace) ?? new Map<string, Map<string, Said>>()
    namespaces.set(mapping.namespace, schema)
    for (const { as, path, settings } of sentFields(mapping)) {
      const merged = schema.get(as) ?? new Map<string, Said>()
      schema.set(as, merged)
      for (const [setting, value] of Object.entries(settings)) {
        if (value === undefined) continue
        const before = merged.get(setting)
        const json = JSON.stringify(sorted(value))
        if (before === undefined) merged.set(setting, { json, path })
        else if (before.json !== json) mistakes.push(conflict(mapping.namespace, setting, before, { json, path }))
      }
    }
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return [...namespaces].map(([namespace, fields]) => {
    const json = textOf(fields, (settings) => textOf(settings, (said) => said.json))
    return { namespace, schema: JSON.parse(json) as Record<string, FieldSettings>, fingerprint: fingerprint(json) }
  })
}

interface Said {
  readonly json: string
  readonly path: string
}

interface SentField {
  readonly as: string
  readonly path: string
  readonly settings: FieldSettings
}

function sentFields(mapping: Mapping): SentField[] {
  return [
    ...mapping.fields.map(({ as, property, settings }) => ({ as, path: fieldPath(mapping, property), settings })),
    ...mapping.computed.map(({ as, settings }) => ({ as, path: `${mapping.path}.computed.${as}`, settings })),
  ]
}

function conflict(namespace: string, setting: string, before: Said, now: Said): Mistake {
  return {
    path: now.path,
    message: `${setting} is ${now.json} here and ${before.json} in ${before.path}, both for the namespace ${namespace}`,
    hint: 'give both the same setting, or send one of the fields under another name (`as`)',
  }
}

/** JSON text of an object with its keys in order. */
function textOf<Value>(map: ReadonlyMap<string, Value>, text: (value: Value) => string): string {
  const entries = [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${text(value)}`).join(',')}}`
}

function sorted(value: Json): Json {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(sorted)
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
