import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../backoff.js'
import type { SafetyKitClient } from '../delivery/client.js'
import { SyncError } from '../errors.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Logger } from '../logger.js'
import type { NamespaceSchema } from '../mapping/settings.js'

interface PushOptions {
  readonly schemas: readonly NamespaceSchema[]
  readonly client: SafetyKitClient
  readonly ledger: Ledger
  readonly retry: { readonly baseMs: number; readonly maxMs: number }
  readonly signal: AbortSignal
  readonly logger: Logger
}

/**
 * Pushes the settings of every namespace whose fingerprint is not the one that was pushed last, before any of its data.
 * Waits for an API that is away, until `signal` says otherwise.
 * @throws {SyncError} `API_UNAUTHORIZED`, or `API_REJECTED` where the API refuses the settings themselves.
 */
export async function pushSettings(options: PushOptions): Promise<void> {
  const { schemas, ledger, signal, logger } = options
  const stopped = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }))
  const pushed = await ledger.pushedSettings()
  for (const { namespace, schema, fingerprint } of schemas) {
    if (pushed.get(namespace) === fingerprint) continue
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      // Pushing them twice does no harm, so a stop need not wait for an API that does not answer.
      const outcome = await Promise.race([options.client.putSettings(namespace, schema), stopped])
      if (outcome === null) return
      if (outcome.kind === 'accepted') {
        await ledger.recordSettings(namespace, fingerprint)
        logger.info('The settings of a namespace were pushed', { namespace, fields: Object.keys(schema).length })
        break
      }
      if (outcome.kind === 'unauthorized') throw outcome.error
      if (outcome.kind === 'rejected') {
        throw new SyncError(
          'API_REJECTED',
          `The settings of the namespace ${namespace} were refused: ${outcome.error.message}`,
          {
            hint: 'Change the settings of its fields in the mapping; no data was sent.',
          },
        )
      }
      const delayMs = outcome.retryAfterMs ?? backoffMs(attempt, options.retry, Math.random)
      const { code } = outcome.error
      logger.warn('The settings could not be pushed, trying again', {
        namespace,
        code,
        status: outcome.status,
        delayMs,
      })
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }
}
