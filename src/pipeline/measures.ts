import type { DispatchCounts } from '../delivery/dispatch-options.js'
import type { ChangeCounts } from './change-counts.js'
import type { EngineLoad } from './engine.js'

/** What a pipeline has done since its start and what it holds now, in numbers; to read them costs nothing. */
export interface Measures extends EngineLoad {
  readonly dispatched: DispatchCounts
  readonly changes: Readonly<ChangeCounts>
  /** Tables that their mapping does not fit at present, `schema.table`; their keys wait in `dirty`. */
  readonly misfits: readonly string[]
  /** Tables, `schema.table`, whose changes are not captured: their triggers or their place in the publication are gone. */
  readonly uncaptured: readonly string[]
  /** Namespaces whose settings could not be pushed yet: nothing is sent to them. */
  readonly unpushed: readonly string[]
  /** The code of the error that it is ending with; `null` where it does not. */
  readonly failure: string | null
}
