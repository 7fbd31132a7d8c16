import type { ClientBase } from 'pg'
import { checkPublication } from '../capture/replication/publication.js'
import { checkTriggers } from '../capture/triggers/check.js'
import type { ResolvedSync } from '../config/resolved.js'
import { ConfigError } from '../errors.js'
import { type BoundTable, bindMappings } from '../mapping/bind.js'
import { readCatalog } from '../mapping/catalog.js'
import { wantedPublication } from '../pipeline/migrate.js'
import { wantedCapture } from '../pipeline/triggers.js'

/** What does not fit: the mapping to its tables, or what `migrate` has made to the mapping. */
export interface Problem {
  readonly code: string
  readonly message: string
  /** The exact SQL, command or setting that mends it. */
  readonly hint: string | null
}

interface ProblemsOptions {
  readonly resolved: ResolvedSync
  readonly source: ClientBase
  /** The schema of tables that are named without one. */
  readonly defaultSchema: string
}

/** Reads the catalogue, and nothing but that. */
export async function readProblems({ resolved, source, defaultSchema }: ProblemsOptions): Promise<readonly Problem[]> {
  const { mappings, capture, schema } = resolved
  const names = mappings.map(({ table }) => table)
  const catalog = await readCatalog(source, names, { defaultSchema })
  let tables: readonly BoundTable[]
  try {
    tables = bindMappings(mappings, catalog, { capture })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const { code, mistakes } = error
    return mistakes.map(({ path, message, hint = null }) => ({ code, message: `${path}: ${message}`, hint }))
  }
  if (capture === 'trigger') {
    const findings = await checkTriggers(source, wantedCapture(schema, tables))
    return findings.map((one) => ({
      code: 'TRIGGERS_UNFIT',
      message: `${one.source}: ${one.message}`,
      hint: one.hint,
    }))
  }
  if (capture === 'replication') {
    const findings = await checkPublication(source, wantedPublication(resolved, tables))
    return findings.map(({ code, message }) => ({ code, message, hint: 'Run: safetykit-sync migrate' }))
  }
  return []
}
