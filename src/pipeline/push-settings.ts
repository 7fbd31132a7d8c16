import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../backoff.js'
import { mayPass } from '../database-errors.js'
import type { SafetyKitClient } from '../delivery/client.js'
import { SyncError } from '../errors.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Logger } from '../logger.js'
import type { NamespaceSchema } from '../mapping/settings.js'

interface PushOptions {
  readonly schemas: readonly NamespaceSchema[]
  readonly client: Pick<SafetyKitClient, 'putSettings'>
  readonly ledger: Pick<Ledger, 'pushedSettings' | 'recordSettings'>
  readonly retry: { readonly baseMs: number; readonly maxMs: number }
  readonly signal: AbortSignal
  /** Told of a `SyncError`: `API_UNAUTHORIZED`, or `API_REJECTED` where the API refuses the settings themselves. */
  readonly onFailure: (error: unknown) => void
  /** Told with each namespace that may be sent to from then on. */
  readonly onPushed: () => void
  readonly logger: Logger
}

/**
 * Pushes the settings of every namespace whose fingerprint is not the one that was pushed last, before any of its data.
 * Waits for an API that is away, each namespace by itself, until `signal` says otherwise.
 */
export class SettingsPush {
  readonly #options: PushOptions
  /** `null` before it has begun. */
  #waiting: Set<string> | null = null
  #pass: Promise<void> | null = null
  #superseded = new AbortController()

  constructor(options: PushOptions) {
    this.#options = options
  }

  /** Namespaces whose settings are still to be pushed: nothing may be sent to them. Empty before it has begun. */
  get waiting(): readonly string[] {
    return [...(this.#waiting ?? [])]
  }

  isPushed(namespace: string): boolean {
    return this.#waiting?.has(namespace) === false
  }

  /** Looks what is to be pushed: at first, and again where another process has delivered, perhaps with another mapping. */
  begin(): void {
    this.#superseded.abort()
    this.#superseded = new AbortController()
    const { schemas, signal, onFailure } = this.#options
    const waiting = new Set(schemas.map(({ namespace }) => namespace))
    this.#waiting = waiting
    this.#pass = this.#run(waiting, AbortSignal.any([signal, this.#superseded.signal]))
    this.#pass.catch(onFailure)
  }

  /** Pushes no more: another process delivers from here on, with the settings of its own mapping. */
  end(): void {
    this.#superseded.abort()
    this.#waiting = null
    this.#pass = null
  }

  /** Begins where that is still to be done. Resolves once all are pushed, or `signal` is aborted; rejects as `onFailure` is told. */
  async ensure(): Promise<void> {
    for (;;) {
      if (this.#pass === null) this.begin()
      const pass = this.#pass
      await pass
      if (pass === this.#pass) return
    }
  }

  async #run(waiting: Set<string>, signal: AbortSignal): Promise<void> {
    const { schemas, ledger } = this.#options
    const stopped = new Promise<null>((resolve) => {
      signal.addEventListener('abort', () => resolve(null), { once: true })
    })
    const pushed = await this.#untilItWorks(() => ledger.pushedSettings(), signal)
    await Promise.all(
      schemas.map(async (schema) => {
        const { namespace, fingerprint } = schema
        if (pushed?.get(namespace) !== fingerprint && !(await this.#push(schema, { stopped, signal }))) return
        waiting.delete(namespace)
        this.#options.onPushed()
      }),
    )
  }

  /** Returns `false` where it was stopped before. */
  async #push(
    { namespace, schema, fingerprint }: NamespaceSchema,
    { stopped, signal }: { readonly stopped: Promise<null>; readonly signal: AbortSignal },
  ): Promise<boolean> {
    const { client, ledger, retry, logger } = this.#options
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      // Pushing them twice does no harm, so a stop need not wait for an API that does not answer.
      const outcome = await Promise.race([client.putSettings(namespace, schema), stopped])
      if (outcome === null) return false
      if (outcome.kind === 'accepted') {
        await this.#untilItWorks(() => ledger.recordSettings(namespace, fingerprint), signal)
        logger.info('The settings of a namespace were pushed', { namespace, fields: Object.keys(schema).length })
        return true
      }
      if (outcome.kind === 'unauthorized') throw outcome.error
      if (outcome.kind === 'rejected') {
        const words = `The settings of the namespace ${namespace} were refused: ${outcome.error.message}`
        throw new SyncError('API_REJECTED', words, {
          hint: 'Change the settings of its fields in the mapping; no data was sent.',
        })
      }
      const delayMs = outcome.retryAfterMs ?? backoffMs(attempt, retry, Math.random)
      const { error, status } = outcome
      const facts = { namespace, code: error.code, status, delayMs, error }
      logger.warn('The settings could not be pushed, trying again', facts)
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {})
    }
    return false
  }

  /** `null` where it was stopped before it worked. */
  async #untilItWorks<T>(query: () => Promise<T>, signal: AbortSignal): Promise<T | null> {
    const { retry, logger } = this.#options
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        return await query()
      } catch (error) {
        if (!mayPass(error)) throw error
        logger.warn('What was pushed of the settings could not be read or noted, trying again', { error })
        await sleep(backoffMs(attempt, retry, Math.random), undefined, { signal, ref: false }).catch(() => {})
      }
    }
    return null
  }
}
