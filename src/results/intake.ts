import type { Evaluation } from '../evaluation.js'
import type { EventSink } from '../events.js'
import type { EvaluatedRequest, EvaluationStore } from '../ledger/evaluations.js'
import type { Logger } from '../logger.js'

interface IntakeOptions {
  readonly store: Pick<EvaluationStore, 'fresh' | 'apply'>
  /** The user's own; may throw. */
  readonly onResult: ((evaluation: Evaluation) => unknown) | null
  readonly events?: EventSink | undefined
  readonly logger: Logger
}

/** Calls of `onResult` at once, for objects of one request. */
const concurrency = 8

/** What every evaluation passes, whether it was asked for or sent: the user's function, the ledger, the event. */
export class Intake {
  readonly #options: IntakeOptions

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /**
   * Takes evaluations of one request; those that are not new are let go of.
   * @returns whether all are recorded: an `onResult` that throws, or is given up, leaves its own for another time.
   */
  async take(evaluated: EvaluatedRequest, signal: AbortSignal): Promise<boolean> {
    const { store, onResult, events } = this.#options
    const once = [...new Map(evaluated.evaluations.map((evaluation) => [evaluation.objectId, evaluation])).values()]
    let bearing = once
    let all = true
    if (onResult !== null) {
      const fresh = await store.fresh({ ...evaluated, evaluations: once })
      bearing = await this.#tellUser(onResult, fresh, signal)
      all = bearing.length === fresh.length
    }
    if (bearing.length === 0) return all
    for (const applied of await store.apply({ ...evaluated, evaluations: bearing })) events?.emit('evaluated', applied)
    return all
  }

  /** Returns those that it did not throw at. */
  async #tellUser(
    onResult: (evaluation: Evaluation) => unknown,
    evaluations: readonly Evaluation[],
    signal: AbortSignal,
  ): Promise<Evaluation[]> {
    const borne: Evaluation[] = []
    const queue = evaluations.values()
    const lane = async (): Promise<void> => {
      for (const evaluation of queue) {
        if (signal.aborted) return
        if (await this.#bears(onResult, evaluation, signal)) borne.push(evaluation)
      }
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, evaluations.length) }, lane))
    return borne
  }

  async #bears(
    onResult: (evaluation: Evaluation) => unknown,
    evaluation: Evaluation,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { namespace, requestId } = evaluation
    try {
      // Also what Prisma's calls give, which do nothing before they are awaited.
      return await untilAborted(Promise.resolve(onResult(evaluation)), signal)
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error('It threw what is no error')
      const hint = 'The evaluation is not recorded, and is given to it again later.'
      this.#options.logger.error('onResult threw', { namespace, requestId, error, hint })
      return false
    }
  }
}

/** `false` where the signal was first; what the promise brings later is let go of. */
async function untilAborted(result: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  let stop = (): void => {}
  const aborted = new Promise<boolean>((resolve) => {
    stop = () => resolve(false)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([result.then(() => true), aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
