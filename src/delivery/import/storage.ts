import { createReadStream } from 'node:fs'
import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici'
import { SyncError } from '../../errors.js'
import type { ClientOptions } from '../client.js'
import { parseRetryAfter } from '../retry.js'

/**
 * What became of an upload.
 *
 * - `expired`: the URL is not accepted (any more): another one is to be asked for.
 * - `retry`: it may succeed with the same URL; `ambiguous` says that the file may have been taken all the same.
 * - `refused`: it would be refused again.
 */
export type UploadOutcome =
  | { readonly kind: 'uploaded' }
  | { readonly kind: 'expired'; readonly error: SyncError }
  | {
      readonly kind: 'retry'
      readonly error: SyncError
      readonly retryAfterMs: number | null
      readonly ambiguous: boolean
    }
  | { readonly kind: 'refused'; readonly error: SyncError }

/** An upload that has not moved for so long is given up. */
const stalledMs = 60_000
/** Storage answers once it has all of the file: from the last byte on. */
const answerMs = 300_000

/**
 * Object storage, where the files of imports are put. It is another host than the API: the bearer token is never sent to
 * it, and pre-signed URLs are in no log and no error.
 */
export class ObjectStorage {
  readonly #agent: Dispatcher

  constructor(options: Pick<ClientOptions, 'proxy'> = {}) {
    const connections = { headersTimeout: answerMs, bodyTimeout: answerMs, connect: { timeout: 10_000 } }
    const proxied = [options.proxy?.httpProxy, options.proxy?.httpsProxy].some((value) => value)
    this.#agent = proxied ? new EnvHttpProxyAgent({ ...connections, ...options.proxy }) : new Agent(connections)
  }

  /** `PUT {upload_url}`, once. Never throws, but where the file cannot be read. */
  async put(
    uploadUrl: string,
    { file, bytes, signal }: { readonly file: string; readonly bytes: number; readonly signal: AbortSignal },
  ): Promise<UploadOutcome> {
    const stalled = new AbortController()
    const stop = (): void => stalled.abort(new Error('stalled'))
    let timer = setTimeout(stop, stalledMs)
    const body = createReadStream(file, { highWaterMark: 256 * 1024 })
    let unreadable: Error | null = null
    body.on('error', (error) => (unreadable = error))
    body.on('data', () => {
      clearTimeout(timer)
      timer = setTimeout(stop, stalledMs)
    })
    body.on('end', () => clearTimeout(timer))
    body.pause()
    try {
      const answer = await this.#agent.request({
        origin: new URL(uploadUrl).origin,
        path: pathOf(uploadUrl),
        method: 'PUT',
        headers: { 'content-type': 'application/json', 'content-length': String(bytes) },
        body,
        signal: AbortSignal.any([signal, stalled.signal]),
      })
      // What storage says (XML, with the URL in it) is in no error: the status tells enough.
      await answer.body.dump()
      return outcomeOf(answer.statusCode, answer.headers['retry-after'])
    } catch (cause) {
      if (unreadable !== null) throw unreadable
      const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : ''
      const error = new SyncError('API_UNAVAILABLE', `The file of an import could not be uploaded${code}`, {
        retryable: true,
        hint: 'Check that the host of the upload URLs can be reached from here. It is tried again by itself.',
      })
      return { kind: 'retry', error, retryAfterMs: null, ambiguous: true }
    } finally {
      clearTimeout(timer)
      body.destroy()
    }
  }

  destroy(): Promise<void> {
    return this.#agent.destroy()
  }
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url)
  return pathname + search
}

function outcomeOf(status: number, retryAfter: string | string[] | undefined): UploadOutcome {
  if (status >= 200 && status < 300) return { kind: 'uploaded' }
  const message = `Object storage answered ${status} to the upload of an import`
  if (status === 408 || status === 429 || status >= 500) {
    const header = Array.isArray(retryAfter) ? retryAfter[0] : retryAfter
    const error = new SyncError('API_UNAVAILABLE', message, { retryable: true })
    return { kind: 'retry', error, retryAfterMs: parseRetryAfter(header, Date.now()), ambiguous: status >= 500 }
  }
  const hint =
    'Check that nothing between here and object storage changes the request (a proxy that removes Content-Length, adds headers or rewrites URLs).'
  const error = new SyncError('UPLOAD_REFUSED', message, { hint })
  return status === 401 || status === 403 || status === 404 || status === 410
    ? { kind: 'expired', error }
    : { kind: 'refused', error }
}
