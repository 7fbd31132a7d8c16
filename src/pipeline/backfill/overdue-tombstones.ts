import type { RowKey } from '../../capture/change.js'
import { readRows } from '../../capture/rows.js'
import type { Comparison } from '../../ledger/comparison.js'
import type { Parts } from '../engine.js'
import { compareTarget } from '../scan/compare.js'
import { GoneWalk, tellsKey } from '../scan/gone-walk.js'
import { isBehind } from '../scan/standing.js'
import { TableWalk } from '../scan/table-walk.js'
import type { Source, Target } from '../sources.js'

/** Keys that are looked up in one query. */
const lookUpAtOnce = 1_000

export interface OverdueOptions {
  readonly parts: Pick<Parts, 'databases' | 'sources'>
  readonly comparison: Comparison
  readonly source: Source
  readonly signal: AbortSignal
}

/**
 * The keys of objects that are to become tombstones and have not. A row that was deleted, or excluded by the mapping, while
 * an import had it left no trace where SafetyKit had never heard of it: only now that the import is recorded it is known.
 * Of rows that the ledger knows nothing of, nothing is said.
 */
export async function* overdueTombstones(options: OverdueOptions): AsyncGenerator<readonly RowKey[]> {
  const { source, signal } = options
  if (source.targets.every(({ origin }) => origin.tombstone === null)) return
  for await (const keys of ofRows(options)) {
    signal.throwIfAborted()
    yield keys
  }
  for await (const keys of withoutRow(options)) {
    signal.throwIfAborted()
    yield keys
  }
}

async function* ofRows({ parts, comparison, source }: OverdueOptions): AsyncGenerator<readonly RowKey[]> {
  const { databases, sources } = parts
  const walk = new TableWalk({ db: databases.source, sources, source: source.name, contents: false })
  try {
    for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
      const behind = new Set<number>()
      for (const walked of chunk.targets) {
        if (walked.target.origin.tombstone === null) continue
        const { standings } = await compareTarget(comparison, walked)
        for (const [index, standing] of standings.entries()) {
          const row = walked.rows[index]
          if (row !== undefined && standing !== 'missing' && isBehind(standing)) behind.add(row)
        }
      }
      const { keyOf } = chunk
      yield [...behind].map((row) => keyOf(row))
    }
  } finally {
    await walk.close()
  }
}

async function* withoutRow({ parts, comparison, source }: OverdueOptions): AsyncGenerator<readonly RowKey[]> {
  const { databases, sources } = parts
  for (const [mapping, target] of source.targets.entries()) {
    const { origin } = target
    if (origin.tombstone === null) continue
    if (!tellsKey(source, target)) {
      yield* ofKeptKeys({ databases, comparison, source, target })
      continue
    }
    const walk = new GoneWalk({ db: databases.source, comparison, sources, source: source.name, mapping })
    for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
      yield chunk.gone.filter(({ standing }) => isBehind(standing)).map(({ key }) => key)
    }
  }
}

/** Where ids do not tell the keys, imports have left them. */
async function* ofKeptKeys(options: {
  readonly databases: OverdueOptions['parts']['databases']
  readonly comparison: Comparison
  readonly source: Source
  readonly target: Target
}): AsyncGenerator<readonly RowKey[]> {
  const { databases, comparison, source, target } = options
  const { rowTable, keyColumns } = source.bound
  const of = { namespace: target.mapping.namespace, sources: [...new Set([source.name, source.bound.source])] }
  for (let after: string | null = null; ; ) {
    const known: Awaited<ReturnType<Comparison['importedAfter']>> = await comparison.importedAfter(
      of,
      after,
      lookUpAtOnce,
    )
    const keys = known.map(({ key }) => key)
    const { rows } = await readRows(databases.source, rowTable, keyColumns, keys)
    yield keys.filter((_, index) => rows[index] === null)
    after = known.at(-1)?.id ?? after
    if (known.length < lookUpAtOnce) return
  }
}
