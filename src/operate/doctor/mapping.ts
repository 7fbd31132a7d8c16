import type { ClientBase } from 'pg'
import type { Mapping, ResolvedSync } from '../../config/resolved.js'
import { ConfigError, type Mistake } from '../../errors.js'
import { type BoundTable, bindMappings } from '../../mapping/bind.js'
import { readCatalog } from '../../mapping/catalog.js'
import { bypassSql, hiddenTables } from '../../pipeline/check-readable.js'
import { type Learnt, Missing } from './examination.js'
import { mistakeFailure } from './failures.js'
import { type Check, failure, ok, type Verdict } from './finding.js'
import type { Tables } from './tables.js'
import { lookAtGenerated, lookAtValues } from './values.js'

export const tablesCheck = {
  check: 'tables',
  why: 'What is mapped has to be a table with a primary key, and its columns have to be there.',
}

/** Finds the mapped tables, each for itself: one that does not fit keeps no other from being looked at. */
export async function findTables(
  client: ClientBase,
  resolved: ResolvedSync,
  defaultSchema: string,
): Promise<Learnt<Tables>> {
  const names = resolved.mappings.map(({ table }) => table)
  const catalog = await readCatalog(client, names, { defaultSchema })
  const bound: BoundTable[] = []
  const mistakes: Mistake[] = []
  for (const mappings of byTable(resolved.mappings, defaultSchema)) {
    try {
      // Whether the WAL carries a table is told apart.
      bound.push(...bindMappings(mappings, catalog, { capture: 'trigger' }))
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      mistakes.push(...error.mistakes)
    }
  }
  const fitting = bound.length === 0 ? [] : [ok(bound.map(({ source }) => source).join(', '))]
  const verdicts: Verdict[] = [...fitting, ...mistakes.map(mistakeFailure)]
  const complete = mistakes.length === 0
  const value =
    bound.length === 0 ? new Missing('no mapped table fits') : { client, resolved, catalog, bound, complete }
  return { verdicts, value }
}

function byTable(mappings: readonly Mapping[], defaultSchema: string): readonly (readonly Mapping[])[] {
  const groups = new Map<string, Mapping[]>()
  for (const mapping of mappings) {
    const name = JSON.stringify([mapping.table.schema ?? defaultSchema, mapping.table.name])
    groups.set(name, [...(groups.get(name) ?? []), mapping])
  }
  return [...groups.values()]
}

export const mappingChecks: readonly Check<Tables>[] = [
  {
    check: 'row-security',
    why: 'A row that a policy hides would be taken for one that was deleted.',
    look: async ({ client, bound }) => {
      const { role, oids } = await hiddenTables(client, bound)
      const hidden = bound.filter(({ table }) => oids.has(table.oid))
      if (hidden.length === 0) return ok('no policy hides rows from this role')
      return hidden.map(({ source }) =>
        failure(
          `row-level security hides rows of ${source} from the role ${role}`,
          [{ sql: `${bypassSql(role)};` }],
          source,
        ),
      )
    },
  },
  {
    check: 'values',
    why: 'Numbers that JSON cannot hold exactly are sent as strings, so that a field may be a number in one object and a string in another.',
    look: lookAtValues,
  },
  {
    check: 'generated-columns',
    why: 'The WAL does not hold generated columns: each changed row is read once more, as it is by then.',
    look: async (tables) => lookAtGenerated(tables),
  },
]
