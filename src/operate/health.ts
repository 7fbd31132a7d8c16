import type { EnginePhase, EngineState } from '../pipeline/engine-state.js'

/** How `/readyz` answers. Names are only ever added. */
export interface Readiness {
  /** Whether it does its work, or stands by for it. */
  readonly ready: boolean
  readonly phase: EnginePhase
  /** Since when it is in this phase, ISO 8601. */
  readonly since: string
  /** Another process delivers; this one takes over when that one ends. */
  readonly standby: boolean
  /** Why it is not ready; empty where it is. */
  readonly reasons: readonly Finding[]
  /** What does not go as it should, and which no restart would mend. */
  readonly warnings: readonly Finding[]
}

export interface Finding {
  readonly code:
    | 'stopping'
    | 'failed'
    | 'ledger-unreachable'
    | 'settings-not-pushed'
    | 'mapping-misfit'
    | 'not-captured'
    | 'trouble'
    | EnginePhase
  /** One sentence, without values of rows. */
  readonly message: string
}

export interface HealthFacts {
  readonly startedAt: Date
  /** `null` before there is a pipeline. */
  readonly state: Pick<EngineState, 'phase' | 'since' | 'trouble'> | null
  readonly stopping: boolean
  /** The code of the error that it ends with; `null` where it does not. */
  readonly failure: string | null
  /** `null`: not known yet. */
  readonly ledgerUp: boolean | null
  /** Tables that their mapping does not fit. */
  readonly misfits: readonly string[]
  /** Tables whose changes are not captured. */
  readonly uncaptured: readonly string[]
  /** Namespaces whose settings are not pushed yet. */
  readonly unpushed: readonly string[]
}

/** Why a phase is one in which the work is not done. */
const notWorking: Readonly<Partial<Record<EnginePhase, string>>> = {
  starting: 'It has not begun yet: the configuration is checked first.',
  connecting: 'It is not connected to the replication slot.',
  stalled: 'It is connected, and the stream brings nothing, not even its own heartbeat.',
  stopped: 'It has ended.',
}

/**
 * Whether a process does its work. An API that is away does not count against it: what cannot be delivered is kept, as it
 * should be, and no other process would do better. The same holds for a mapping that no longer fits its table: the keys
 * wait, the other tables are served, and it takes a person to mend it; and for a table whose changes are no longer
 * captured. All of these are warnings. Only where it has never got through, because the settings of a namespace are to be
 * pushed first, has it not begun its work.
 */
export function readiness(facts: HealthFacts): Readiness {
  const { startedAt, state, stopping, failure, ledgerUp, misfits, uncaptured, unpushed } = facts
  const phase = state?.phase ?? 'starting'
  const trouble = state?.trouble ?? null
  const reasons: Finding[] = []
  const warnings: Finding[] = []
  if (failure !== null) reasons.push({ code: 'failed', message: `It ends with ${failure}.` })
  if (stopping) reasons.push({ code: 'stopping', message: 'It was told to stop, and settles what is in flight.' })
  const idle = notWorking[phase]
  if (idle !== undefined) reasons.push({ code: phase, message: trouble === null ? idle : `${idle} ${trouble}` })
  if (ledgerUp === false) {
    reasons.push({ code: 'ledger-unreachable', message: 'The database of the side tables does not answer.' })
  }
  if (unpushed.length > 0) {
    const message = `The settings of these namespaces could not be pushed yet, so nothing is sent to them: ${unpushed.join(', ')}.`
    reasons.push({ code: 'settings-not-pushed', message })
  }
  if (phase === 'spilling') {
    warnings.push({ code: phase, message: trouble ?? 'What cannot be delivered is kept as keys in "dirty".' })
  } else if (idle === undefined && trouble !== null) {
    warnings.push({ code: 'trouble', message: trouble })
  }
  if (misfits.length > 0) {
    const tables = misfits.join(', ')
    warnings.push({ code: 'mapping-misfit', message: `The mapping does not fit its table; its keys wait: ${tables}.` })
  }
  if (uncaptured.length > 0) {
    const message = `Changes of these tables are not captured; run safetykit-sync migrate: ${uncaptured.join(', ')}.`
    warnings.push({ code: 'not-captured', message })
  }
  const since = (state?.since ?? startedAt).toISOString()
  return { ready: reasons.length === 0, phase, since, standby: phase === 'standby', reasons, warnings }
}
