import type { Outcome } from '../delivery/api-outcome.js'
import type { SafetyKitClient } from '../delivery/client.js'
import { isSyncError, type SyncError } from '../errors.js'
import type { Evaluation } from '../evaluation.js'
import type { Following, KeyColumn, OpenRequest, RequestError, ResultStore } from '../ledger/results.js'
import type { Logger } from '../logger.js'
import { parseJson, readResult, readStatusAnswer, type StatusAnswer } from './answers.js'
import type { ResultFiles } from './data-url.js'
import type { Intake } from './intake.js'

export interface FollowerOptions {
  readonly following: Following
  readonly store: ResultStore
  readonly intake: Intake
  readonly files: Pick<ResultFiles, 'lines'>
  readonly client: Pick<SafetyKitClient, 'requestStatus'>
  /** Which column the ids of a source are the values of. */
  keyColumns(): readonly KeyColumn[]
  /** Keys were put into `dirty`. */
  onKeys(): void
  readonly logger: Logger
}

/** What a request tells of the API: that it answers, that it is to be left alone for a while, that it refuses the key. */
export type Followed = 'answered' | Exclude<Outcome<never>, { readonly kind: 'rejected' }>

/** Evaluations, and bytes of them, that are recorded at once. */
const batchSize = 500
const maxBatchChars = 4 * 1024 * 1024

/** Requests that are given up at once. */
const maxGivenUp = 10_000

/** A request that the API does not know may only not be there yet. */
const unknownForMs = 10 * 60_000

/** With webhooks, the results of an import are asked for only when they should all have come. */
const webhookGraceMs = 10 * 60_000

const tooLarge: RequestError = {
  code: 'ANSWER_TOO_LARGE',
  status: 413,
  message: 'SafetyKit evaluated the request, and its results are too large for one answer',
  hint: "Lower delivery.maxBatchObjects, so that a request has fewer results; or have them sent: results: 'webhook'.",
}

const noResults: RequestError = {
  code: 'RESULTS_MISSING',
  status: null,
  message: 'SafetyKit has not finished the request within 7 days',
  hint: 'It is not asked about any more. Send its objects again: prisma.$safetykit.resend, or safetykit-sync backfill --force.',
}

/** What is done about one request that is not finished. */
export class Follower {
  readonly #options: FollowerOptions

  constructor(options: FollowerOptions) {
    this.#options = options
  }

  /** Asks about a request, and takes its results. Stops soon when the signal is aborted: what is left is asked for again. */
  async follow(request: OpenRequest, signal: AbortSignal): Promise<Followed> {
    const { store, client } = this.#options
    const { namespace, requestId } = request
    const outcome = await client.requestStatus(namespace, requestId, readStatusAnswer, signal)
    if (signal.aborted) return 'answered'
    switch (outcome.kind) {
      case 'accepted':
        await this.#answered(request, outcome.answer, signal)
        return 'answered'
      case 'rejected':
        await this.#refused(request, outcome)
        return 'answered'
      case 'retry':
        // The others are asked first, should it be this one that the API cannot answer.
        if (!outcome.throttled) await store.asked(requestId)
        return outcome
      default:
        return outcome
    }
  }

  /** Nothing is expected any more of requests that are so old. */
  async giveUp(): Promise<void> {
    const { store, following, logger } = this.#options
    const requests = await store.giveUp(following, noResults, maxGivenUp)
    const { message, hint } = noResults
    if (requests > 0) logger.warn('Requests were given up', { requests, reason: message, hint })
  }

  /** What cannot be recorded, though the database answers, is not to keep the others from it. */
  async #answered(request: OpenRequest, answer: StatusAnswer, signal: AbortSignal): Promise<void> {
    try {
      if (request.kind === 'add') await this.#add(request, answer, signal)
      else await this.#import(request, answer, signal)
    } catch (error) {
      if (signal.aborted) return
      const { namespace, requestId } = request
      await this.#options.store.asked(requestId)
      this.#options.logger.error('The results of a request could not be recorded, trying again later', {
        namespace,
        requestId,
        error,
      })
    }
  }

  async #add(request: OpenRequest, answer: StatusAnswer, signal: AbortSignal): Promise<void> {
    const { store, intake } = this.#options
    const { namespace, requestId } = request
    if (answer.status === 'succeeded') {
      const evaluations = answer.data.flatMap((value) => readResult(value, request) ?? [])
      const unread = answer.data.length - evaluations.length
      if (unread > 0) this.#tellUnread(request, unread)
      const taken = await intake.take({ namespace, requestId, evaluations }, signal)
      if (taken && unread === 0) await store.complete(requestId, { status: 'succeeded' })
      else await store.asked(requestId, 'succeeded')
      return
    }
    if (answer.status !== 'failed') return store.asked(requestId, answer.status)
    const error = failure(answer)
    const evaluations = (await store.objectsOf(requestId)).map(
      (objectId): Evaluation => ({
        namespace,
        objectId,
        requestId,
        status: 'failed',
        output: null,
        url: null,
        error: answer.error,
      }),
    )
    if (!(await intake.take({ namespace, requestId, evaluations }, signal))) return store.asked(requestId, 'failed')
    if (await store.complete(requestId, { status: 'failed', error })) this.#tellFailed(request, error)
  }

  async #import(request: OpenRequest, answer: StatusAnswer, signal: AbortSignal): Promise<void> {
    const { store, following, keyColumns, onKeys, logger } = this.#options
    const { namespace, requestId } = request
    if (answer.status === 'failed') return this.#importFailed(request, failure(answer))
    if (answer.status !== 'succeeded') return store.asked(requestId, answer.status)
    const keys = await store.importSucceeded(requestId, keyColumns())
    if (keys !== null) logger.info('An import has succeeded', { namespace, requestId, sentAgain: keys })
    if (keys !== null && keys > 0) onKeys()
    if (following === 'off') return void (await store.complete(requestId))
    if (following === 'webhook' && request.ageMs < webhookGraceMs) return
    if (answer.dataUrl === null && answer.dataCount !== 0) this.#tellUnread(request, answer.dataCount)
    const all = answer.dataUrl === null ? answer.dataCount === 0 : await this.#download(request, answer.dataUrl, signal)
    if (all) await store.complete(requestId)
    else await store.asked(requestId)
  }

  async #importFailed(request: OpenRequest, error: RequestError): Promise<void> {
    const { store, keyColumns, onKeys } = this.#options
    const keys = await store.importFailed(request.requestId, error, keyColumns())
    // It had succeeded before: only its results are missing.
    if (keys === null) return void (await store.complete(request.requestId, { error }))
    this.#tellFailed(request, error, { sentAgain: keys })
    if (keys > 0) onKeys()
  }

  /** Returns whether all of it was taken. */
  async #download(request: OpenRequest, url: string, signal: AbortSignal): Promise<boolean> {
    const { intake, files, logger } = this.#options
    const { namespace, requestId } = request
    let all = true
    let unread = 0
    let batch: Evaluation[] = []
    let chars = 0
    const flush = async (): Promise<void> => {
      if (batch.length > 0 && !(await intake.take({ namespace, requestId, evaluations: batch }, signal))) all = false
      batch = []
      chars = 0
    }
    try {
      for await (const line of files.lines(url, signal)) {
        const evaluation = readResult(parseJson(line), request)
        if (evaluation === null) {
          unread += 1
          continue
        }
        batch.push(evaluation)
        chars += line.length
        if (batch.length === batchSize || chars > maxBatchChars) await flush()
        if (signal.aborted) return false
      }
      await flush()
    } catch (error) {
      if (signal.aborted) return false
      if (!isSyncError(error)) throw error
      logger.warn('The results of an import were not read to their end, trying again later', {
        namespace,
        requestId,
        error,
      })
      return false
    }
    if (unread > 0) this.#tellUnread(request, unread)
    return all && unread === 0
  }

  async #refused(request: OpenRequest, { status, error }: { status: number; error: SyncError }): Promise<void> {
    const { store, logger } = this.#options
    const { namespace, requestId, kind, ageMs } = request
    if (status === 413 && kind === 'add') {
      if (!(await store.complete(requestId, { status: 'succeeded', error: tooLarge }))) return
      const { message, hint } = tooLarge
      logger.warn(message, { namespace, requestId, hint })
    } else if (ageMs < unknownForMs) {
      await store.asked(requestId)
    } else {
      const reason = { code: error.code, status, message: error.message }
      // What the API does not know, it has not taken over.
      if (kind === 'import') await this.#importFailed(request, reason)
      else if (await store.complete(requestId, { error: reason })) {
        logger.warn('The API refuses to tell the results of a request', { namespace, requestId, status, error })
      }
    }
  }

  #tellFailed({ namespace, requestId, kind }: OpenRequest, error: RequestError, more: object = {}): void {
    const { message: reason } = error
    this.#options.logger.warn('SafetyKit could not process a request', { namespace, requestId, kind, reason, ...more })
  }

  #tellUnread({ namespace, requestId }: OpenRequest, results: number | null): void {
    const hint = 'They are asked for again; the others are recorded.'
    this.#options.logger.warn("Some results are not as the API's contract has them", {
      namespace,
      requestId,
      results,
      hint,
    })
  }
}

const failure = ({ error }: StatusAnswer): RequestError => ({
  code: 'REQUEST_FAILED',
  status: null,
  message: error ?? 'SafetyKit does not say why',
})
