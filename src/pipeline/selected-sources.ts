import { nearest } from '../config/nearest.js'
import { SyncError } from '../errors.js'
import type { Source, Sources } from './sources.js'

/**
 * The mapped tables that go by these names; without any, all of them. A model is named as the configuration has it, a table as
 * the configuration or the database does; without its schema where only one has the name.
 * @throws {SyncError} `ARGUMENT_INVALID` for a name that nothing has.
 */
export function selectSources(
  { all }: Pick<Sources, 'all'>,
  {
    models = [],
    tables = [],
  }: { readonly models?: readonly string[] | undefined; readonly tables?: readonly string[] | undefined } = {},
): readonly Source[] {
  if (models.length + tables.length === 0) return all
  const known = [...new Set(all.flatMap(modelsOf))]
  for (const model of models) if (!known.includes(model)) throw unknown('model', model, known)
  for (const table of tables) {
    const found = all.filter((source) => isNamed(source, table))
    if (found.length === 0)
      throw unknown(
        'table',
        table,
        all.map(({ name }) => name),
      )
    if (found.length > 1) throw ambiguous(table, found)
  }
  return all.filter(
    (source) =>
      tables.some((table) => isNamed(source, table)) || modelsOf(source).some((model) => models.includes(model)),
  )
}

/** `models.Product`, and `models.Product[1]` where a model has several mappings. */
const modelsOf = ({ targets }: Source): string[] =>
  targets.flatMap(({ mapping }) => /^models\.([^[]+)/.exec(mapping.path)?.[1] ?? [])

function isNamed({ name, bound, targets }: Source, table: string): boolean {
  if (name === table || bound.source === table || bound.table.name === table) return true
  return targets.some(({ mapping }) => mapping.table.name === table)
}

function unknown(what: 'model' | 'table', name: string, known: readonly string[]): SyncError {
  const close = nearest(name, known)
  const listed =
    known.length === 0
      ? `The configuration maps no ${what}s; name tables instead, as schema.table.`
      : `Mapped are: ${known.join(', ')}`
  return new SyncError('ARGUMENT_INVALID', `There is no mapping of a ${what} ${name}`, {
    hint: close === undefined ? listed : `Did you mean ${close}?`,
  })
}

function ambiguous(table: string, found: readonly Source[]): SyncError {
  const names = found.map(({ name }) => name).join(', ')
  return new SyncError('ARGUMENT_INVALID', `Several mapped tables are called ${table}`, {
    hint: `Name it with its schema: ${names}`,
  })
}
