import { ConfigError, isSyncError, type Mistake, messageOf, type SyncError } from '../../errors.js'
import { failure, migrateStep, type Step, type Verdict } from './finding.js'

/** An error as findings: of a configuration one for each mistake. */
export function failuresOf(error: unknown): readonly Verdict[] {
  const mistakes = mistakesOf(error)
  if (mistakes !== null) return mistakes.map(mistakeFailure)
  if (isSyncError(error)) return [failure(error.message, stepsOf(error))]
  return [failure(error instanceof Error ? messageOf(error) : String(error))]
}

/** A configuration file may have loaded a copy of this package of its own, so that the class alone does not tell. */
function mistakesOf(error: unknown): readonly Mistake[] | null {
  if (error instanceof ConfigError) return error.mistakes
  if (!isSyncError(error) || !('mistakes' in error) || !Array.isArray(error.mistakes)) return null
  return error.mistakes as readonly Mistake[]
}

export function mistakeFailure({ path, message, hint, sql }: Mistake): Verdict {
  const fix: readonly Step[] = sql !== undefined ? [{ sql }] : hint === undefined ? [] : [{ do: hint }]
  return failure(message, fix, path)
}

function stepsOf({ code, hint }: SyncError): readonly Step[] {
  if (code === 'SCHEMA_OUTDATED') return [migrateStep]
  return hint === undefined ? [] : [{ do: hint }]
}
