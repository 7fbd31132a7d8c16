import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../../backoff.js'
import type { DeliverySettings } from '../../config/resolved.js'
import { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { traced } from '../../tracing.js'
import { readStatusWord, type StartedImport } from '../answers.js'
import type { Outcome } from '../api-outcome.js'
import type { SafetyKitClient } from '../client.js'
import type { ObjectStorage } from './storage.js'

export interface SendPartOptions {
  readonly client: Pick<SafetyKitClient, 'startImport' | 'requestStatus'>
  readonly storage: ObjectStorage
  readonly namespace: string
  readonly file: string
  readonly bytes: number
  readonly retry: Pick<DeliverySettings, 'retryBaseMs' | 'retryMaxMs'>
  /** Is told of each import before anything is uploaded to it, and awaited: what was uploaded is found again by it. */
  readonly onStarted: (started: Pick<StartedImport, 'requestId' | 'objectKey'>) => Promise<void>
  readonly signal: AbortSignal
  readonly logger: Logger
}

/** So many URLs may be refused in a row: an expired one is replaced, a proxy that spoils them all is told. */
const maxRefusedUrls = 4

/**
 * Sends a file as an import; tries again until it got through.
 * @throws {SyncError} `UPLOAD_REFUSED`, `API_REJECTED`, `API_UNAUTHORIZED`; or the signal's reason.
 */
export function sendPart(options: SendPartOptions): Promise<Pick<StartedImport, 'requestId' | 'objectKey'>> {
  const attributes = { 'safetykit.namespace': options.namespace, 'safetykit.bytes': options.bytes }
  return traced('safetykit.import_part', { root: true, attributes }, async (span) => {
    const started = await send(options)
    span.setAttribute('safetykit.request_id', started.requestId)
    return started
  })
}

async function send(options: SendPartOptions): Promise<StartedImport> {
  const { client, namespace, signal } = options
  for (let refused = 1; ; refused += 1) {
    const started = await answered('An import could not be started', () => client.startImport(namespace), options)
    await options.onStarted({ requestId: started.requestId, objectKey: started.objectKey })
    const error = await upload(started, options)
    if (error === null) return started
    signal.throwIfAborted()
    if (refused === maxRefusedUrls) throw error
    options.logger.warn('An upload URL was not accepted, asking for another one', { namespace, error })
  }
}

/** `absent`: its file has not arrived, or the API does not know it (any more). */
export type ImportState = 'absent' | 'processing' | 'succeeded' | 'failed'

/** What has become of an import. */
export async function importState(
  { requestId, namespace }: { readonly requestId: string; readonly namespace: string },
  options: Pick<SendPartOptions, 'client' | 'retry' | 'signal' | 'logger'>,
): Promise<ImportState> {
  const ask = () => options.client.requestStatus(namespace, requestId, readStatusWord)
  const answer = await answered('The status of an import could not be read', ask, options).catch((error: unknown) => {
    if (error instanceof SyncError && error.code === 'API_REJECTED') return null
    throw error
  })
  switch (answer?.status) {
    case 'queued':
    case 'ingesting':
      return 'processing'
    case 'succeeded':
    case 'failed':
      return answer.status
    default:
      return 'absent'
  }
}

/** Returns an error where another URL is needed. */
async function upload(started: StartedImport, options: SendPartOptions): Promise<SyncError | null> {
  const { storage, file, bytes, retry, signal, logger, namespace } = options
  let ambiguous = false
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted()
    const outcome = await storage.put(started.uploadUrl, { file, bytes, signal })
    switch (outcome.kind) {
      case 'uploaded':
        return null
      case 'expired': {
        // An attempt whose answer was lost may have been the one.
        const { requestId } = started
        const arrived = ambiguous && (await importState({ requestId, namespace }, options)) !== 'absent'
        return arrived ? null : outcome.error
      }
      case 'refused':
        throw outcome.error
      case 'retry': {
        signal.throwIfAborted()
        ambiguous ||= outcome.ambiguous
        const { error, retryAfterMs } = outcome
        const delayMs = delayOf(failures, retryAfterMs, retry)
        logger.warn('The upload of an import failed, trying again', { namespace, error, delayMs })
        await sleep(delayMs, undefined, { signal, ref: false })
      }
    }
  }
}

async function answered<T>(
  what: string,
  ask: () => Promise<Outcome<T>>,
  { retry, signal, logger }: Pick<SendPartOptions, 'retry' | 'signal' | 'logger'>,
): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted()
    const outcome = await ask()
    if (outcome.kind === 'accepted') return outcome.answer
    if (outcome.kind !== 'retry') throw outcome.error
    const delayMs = delayOf(failures, outcome.retryAfterMs, retry)
    logger.warn(`${what}, trying again`, { error: outcome.error, delayMs })
    await sleep(delayMs, undefined, { signal, ref: false })
  }
}

const delayOf = (
  failures: number,
  askedMs: number | null,
  { retryBaseMs: baseMs, retryMaxMs: maxMs }: SendPartOptions['retry'],
): number => Math.max(askedMs ?? 0, backoffMs(failures, { baseMs, maxMs }, Math.random))
