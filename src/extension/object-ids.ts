import type { Mapping } from '../config/resolved.js'
import { SyncError } from '../errors.js'
import { idFromKey } from '../mapping/mapping-plan.js'
import type { Databases } from '../pipeline/databases.js'
import type { BoundModel } from './bound-models.js'
import { isCanonical, keyText } from './key-text.js'

/** The mapping into a namespace; the first one where none is asked for. */
export function mappingOf({ name, bound }: BoundModel, namespace: string | undefined): Mapping {
  const found = bound.mappings.find((mapping) => namespace === undefined || mapping.namespace === namespace)
  if (found !== undefined) return found
  throw new SyncError('ARGUMENT_INVALID', `${name} is not mapped to the namespace ${JSON.stringify(namespace)}`, {
    hint: `It is mapped to ${bound.mappings.map((mapping) => mapping.namespace).join(', ')}.`,
  })
}

/** The ids of objects, exactly as the mapping makes them of rows. */
export async function objectIds(
  db: Databases['source'],
  model: BoundModel,
  mapping: Mapping,
  ids: readonly unknown[],
): Promise<readonly string[]> {
  const primaryKey = model.bound.table.primaryKey.map((column) => column.name)
  const columns = mapping.id.columns ?? primaryKey
  const given = ids.map((id) => textsOf(model, columns, id))
  const texts = await Promise.all(
    columns.map((column, at) => {
      const type = model.columnTypes.get(column) ?? 'text'
      return canonical(
        db,
        given.map((one) => (one === null ? null : (one[at] ?? null))),
        { type, what: `${model.name}.${fieldOf(model, column)}` },
      )
    }),
  )
  return ids.map((id, index) => {
    // Joined already: nothing tells where one value ends and the next begins.
    if (given[index] === null) return mapping.id.prefix + String(id)
    const key = Object.fromEntries(columns.map((column, at) => [column, texts[at]?.[index] ?? '']))
    return idFromKey(mapping, primaryKey, key) ?? ''
  })
}

/** The values of an id's columns as texts, in their order; `null` for an id of several columns that is joined already. */
function textsOf(model: BoundModel, columns: readonly string[], id: unknown): readonly string[] | null {
  const text = keyText(id)
  if (text !== undefined) {
    if (columns.length === 1) return [text]
    if (typeof id === 'string') return null
  }
  const fields = columns.map((column) => fieldOf(model, column))
  const values: Readonly<Record<string, unknown>> = typeof id === 'object' && id !== null ? { ...id } : {}
  const texts = columns.map((column, at) => keyText(values[fields[at] ?? column] ?? values[column]))
  const missing = fields.filter((_, at) => texts[at] === undefined)
  if (missing.length === 0) return texts as string[]
  throw new SyncError('ARGUMENT_INVALID', `An id of ${model.name} lacks ${missing.join(', ')}`, {
    hint: `Give the row itself, or { ${fields.join(', ')} }${columns.length === 1 ? ', or just the value' : ''}.`,
  })
}

const fieldOf = (model: BoundModel, column: string): string =>
  model.fields.find((field) => field.column === column)?.name ?? column

/** The texts as Postgres writes values of the type. */
async function canonical(
  db: Databases['source'],
  texts: readonly (string | null)[],
  { type, what }: { readonly type: string; readonly what: string },
): Promise<readonly (string | null)[]> {
  if (texts.every((text) => text === null || isCanonical(text, type))) return texts
  try {
    const { rows } = await db.query<[string | null]>({
      text: `SELECT u.value::${type} FROM unnest($1::text[]) WITH ORDINALITY AS u (value, position) ORDER BY u.position`,
      values: [texts],
      rowMode: 'array',
      // As its output function writes it, which is how rows are read.
      types: { getTypeParser: () => (text: string) => text },
    })
    return rows.map(([text]) => text)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('22'))) throw error
    // Without its cause, whose message holds the value.
    throw new SyncError('ARGUMENT_INVALID', `An id is no value of ${what}, which is of the type ${type}`)
  }
}
