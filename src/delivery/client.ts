import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici'
import type { FieldSettings } from '../config/resolved.js'
import { SyncError } from '../errors.js'
import type { ApiCall, Meter } from '../meter.js'
import { markFailed, traced } from '../tracing.js'
import { isSettingsAnswer, readAddAnswer, readImportAnswer, readRefusal, type StartedImport } from './answers.js'
import { parseRetryAfter } from './retry.js'

export interface ClientOptions {
  /** Default: `https://api.safetykit.com`. A path in it is kept as a prefix. */
  readonly baseUrl?: string | undefined
  /** Sent as `Authorization: Bearer …`; in no log, error or metric. */
  readonly apiKey: string
  /** From the request's start until its answer is read. */
  readonly timeoutMs: number
  /** Connections at most; one request at a time on each. */
  readonly maxConnections: number
  /** The values of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. Default: no proxy. */
  readonly proxy?: { readonly httpProxy?: string; readonly httpsProxy?: string; readonly noProxy?: string } | undefined
  readonly meter?: Meter | undefined
}

/**
 * What became of a request.
 *
 * - `retry`: it may succeed later. `ambiguous` says that the API may have taken it all the same (a time-out, a reset, a
 *   5xx); `throttled` that it asks for less (429).
 * - `rejected`: the same request will be refused again (any other 4xx). Not 404 and 405: these say that there is no such call
 *   where the request went to, and nothing of what was in it; but of a question about a request 404 is the answer.
 * - `unauthorized`: 401 or 403, nothing will be accepted with this key.
 */
export type Outcome<T> =
  | { readonly kind: 'accepted'; readonly answer: T }
  | {
      readonly kind: 'retry'
      readonly error: SyncError
      readonly status: number | null
      readonly retryAfterMs: number | null
      readonly ambiguous: boolean
      readonly throttled: boolean
    }
  | { readonly kind: 'rejected'; readonly error: SyncError; readonly status: number }
  | { readonly kind: 'unauthorized'; readonly error: SyncError; readonly status: number }

/** What is sent, and what the meter and the trace tell of it. */
interface Question<T> {
  readonly call: ApiCall['call']
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly namespace: string
  /** Below the namespace's own. */
  readonly path?: string
  readonly body: string | Buffer | null
  /** Objects in the body. Default: 0. */
  readonly objects?: number
  /** Gives what the answer says; `null` where it is not the contract's. */
  readonly read: (text: string) => T | null
  readonly signal?: AbortSignal | undefined
  readonly maxBytes?: number
}

interface Answered<T> {
  readonly status: number | null
  readonly outcome: Outcome<T>
}

/** An error's text is cut at 500 characters; nothing longer than this is read. */
const maxAnswerBytes = 1024 * 1024

/** The status of a request comes with its results: the API answers 413 rather than more than 5 MiB. */
const maxStatusBytes = 8 * 1024 * 1024

/** A small client of SafetyKit's Data API. Makes one attempt a call and never throws: the caller decides on retries. */
export class SafetyKitClient {
  readonly #options: ClientOptions
  readonly #origin: string
  readonly #hostname: string
  readonly #prefix: string
  readonly #agent: Dispatcher
  readonly #headers: Record<string, string>

  constructor(options: ClientOptions) {
    const url = new URL(options.baseUrl ?? 'https://api.safetykit.com')
    this.#options = options
    this.#origin = url.origin
    this.#hostname = url.hostname
    this.#prefix = url.pathname.replace(/\/+$/, '')
    const connections = {
      connections: options.maxConnections,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      connect: { timeout: Math.min(10_000, options.timeoutMs) },
      headersTimeout: 0,
      bodyTimeout: 0,
    }
    // Without a proxy there is one origin, and nothing has to be looked up for a request.
    const proxied = [options.proxy?.httpProxy, options.proxy?.httpsProxy].some((value) => value)
    this.#agent = proxied
      ? new EnvHttpProxyAgent({ ...connections, ...options.proxy })
      : new Pool(this.#origin, connections)
    this.#headers = {
      authorization: `Bearer ${options.apiKey}`,
      'content-type': 'application/json',
      accept: 'application/json',
    }
  }

  /**
   * `POST /v1/data/{namespace}`.
   * @param body `{"data":[…]}`, serialised.
   * @param objects how many are in it, for the meter.
   * @param signal gives the request up.
   */
  add(
    namespace: string,
    body: string | Buffer,
    objects = 0,
    signal?: AbortSignal,
  ): Promise<Outcome<{ readonly requestId: string }>> {
    return this.#ask({ call: 'add', method: 'POST', namespace, body, objects, read: readAddAnswer, signal })
  }

  /** `PUT /v1/data/{namespace}/settings`: replaces the namespace's whole settings. */
  putSettings(namespace: string, schema: Readonly<Record<string, FieldSettings>>): Promise<Outcome<true>> {
    const read = (text: string) => (isSettingsAnswer(text) ? true : null)
    const body = JSON.stringify({ schema })
    return this.#ask({ call: 'settings', method: 'PUT', namespace, path: '/settings', body, read })
  }

  /** `POST /v1/data/{namespace}/import`: where the file of an import is to be put. */
  startImport(namespace: string): Promise<Outcome<StartedImport>> {
    return this.#ask({ call: 'import', method: 'POST', namespace, path: '/import', body: '{}', read: readImportAnswer })
  }

  /**
   * `GET /v1/data/{namespace}/requests/{requestId}`.
   * @param read gives what the answer says; `null` where it is not the contract's.
   */
  requestStatus<T>(
    namespace: string,
    requestId: string,
    read: (text: string) => T | null,
    signal?: AbortSignal,
  ): Promise<Outcome<T>> {
    const path = `/requests/${encodeURIComponent(requestId)}`
    return this.#ask({
      call: 'status',
      method: 'GET',
      namespace,
      path,
      body: null,
      read,
      signal,
      maxBytes: maxStatusBytes,
    })
  }

  close(): Promise<void> {
    return this.#agent.close()
  }

  /** Ends what is in flight at once. */
  destroy(): Promise<void> {
    return this.#agent.destroy()
  }

  /** A gateway's error page may show the request that it was asked, with its headers. */
  #withoutKey(text: string): string {
    const { apiKey } = this.#options
    return apiKey === '' ? text : text.replaceAll(apiKey, '…')
  }

  /** Asks under a span, and tells the meter. */
  #ask<T>(question: Question<T>): Promise<Outcome<T>> {
    const { call, method, namespace, body, objects = 0 } = question
    const bytes = body === null ? 0 : Buffer.byteLength(body)
    const attributes = {
      'http.request.method': method,
      'http.request.body.size': bytes,
      'server.address': this.#hostname,
      'safetykit.namespace': namespace,
      'safetykit.objects': objects,
    }
    return traced(`safetykit.${call}`, { kind: 'client', root: call === 'add', attributes }, async (span) => {
      const startedMs = performance.now()
      const { status, outcome } = await this.#send(question)
      this.#options.meter?.called({ call, status, seconds: (performance.now() - startedMs) / 1_000, bytes, objects })
      if (status !== null) span.setAttribute('http.response.status_code', status)
      if (outcome.kind !== 'accepted') markFailed(span, status === null ? outcome.error.code : String(status))
      else if (hasRequestId(outcome.answer)) span.setAttribute('safetykit.request_id', outcome.answer.requestId)
      return outcome
    })
  }

  async #send<T>({
    call,
    method,
    namespace,
    path = '',
    body,
    read,
    signal,
    maxBytes = maxAnswerBytes,
  }: Question<T>): Promise<Answered<T>> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs)
    let answer: Dispatcher.ResponseData
    let text: string
    try {
      answer = await this.#agent.request({
        origin: this.#origin,
        path: `${this.#prefix}/v1/data/${encodeURIComponent(namespace)}${path}`,
        method,
        headers: this.#headers,
        body,
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      })
      text = await readText(answer.body, maxBytes)
    } catch (cause) {
      const error = connectionError(cause, this.#origin, this.#options.timeoutMs)
      return { status: null, outcome: retry(error, { ambiguous: true }) }
    }
    const status = answer.statusCode
    if (status >= 200 && status < 300) {
      const value = read(text)
      if (value !== null) return { status, outcome: { kind: 'accepted', answer: value } }
      const words = `The API answered ${status} with a body that is not its contract's`
      const error = new SyncError('API_UNEXPECTED', words, { retryable: true, hint: checkBaseUrl })
      return { status, outcome: retry(error, { status, ambiguous: true }) }
    }
    const retryAfter = header(answer.headers['retry-after'])
    return { status, outcome: refused({ call, status, text: this.#withoutKey(text), retryAfter }) }
  }
}

const hasRequestId = (answer: unknown): answer is { readonly requestId: string } =>
  typeof answer === 'object' && answer !== null && 'requestId' in answer && typeof answer.requestId === 'string'

const header = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)

async function readText(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) {
      body.destroy()
      break
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function retry(
  error: SyncError,
  facts: { status?: number; retryAfterMs?: number | null; ambiguous?: boolean; throttled?: boolean },
): Outcome<never> {
  return {
    kind: 'retry',
    error,
    status: facts.status ?? null,
    retryAfterMs: facts.retryAfterMs ?? null,
    ambiguous: facts.ambiguous ?? false,
    throttled: facts.throttled ?? false,
  }
}

function connectionError(cause: unknown, origin: string, timeoutMs: number): SyncError {
  const timedOut = cause instanceof Error && cause.name === 'TimeoutError'
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : ''
  const message = timedOut ? `The API did not answer within ${timeoutMs} ms` : `The API could not be reached${code}`
  return new SyncError('API_UNAVAILABLE', message, {
    retryable: true,
    cause,
    hint: `Check SAFETYKIT_BASE_URL (${origin}), the network and the proxy settings. It is tried again by itself.`,
  })
}

/** Where what answers is not the API, every object would be refused alike: it is waited for, and none is parked for it. */
const checkBaseUrl =
  'Check that SAFETYKIT_BASE_URL is the API itself, without /v1 at its end, and not a proxy or a login page.'

interface Refused {
  readonly call: ApiCall['call']
  readonly status: number
  readonly text: string
  readonly retryAfter: string | undefined
}

function refused({ call, status, text, retryAfter }: Refused): Outcome<never> {
  const said = readRefusal(text)
  const words = said === '' ? `The API answered ${status}` : `The API answered ${status}: ${said}`
  if (status === 401 || status === 403) {
    const error = new SyncError('API_UNAUTHORIZED', `The API refused the key (${status})`, {
      hint: 'Set SAFETYKIT_API_KEY to a key that may write data (sk_…), then start again: nothing was lost.',
    })
    return { kind: 'unauthorized', error, status }
  }
  const isNoCall = status === 405 || (status === 404 && call !== 'status')
  if (status >= 400 && status < 500 && status !== 408 && status !== 429 && !isNoCall) {
    return { kind: 'rejected', error: new SyncError('API_REJECTED', words), status }
  }
  const code = status === 408 || status === 429 || status >= 500 ? 'API_UNAVAILABLE' : 'API_UNEXPECTED'
  const hint = code === 'API_UNEXPECTED' ? checkBaseUrl : undefined
  return retry(new SyncError(code, words, { retryable: true, hint }), {
    status,
    retryAfterMs: parseRetryAfter(retryAfter, Date.now()),
    ambiguous: status !== 429,
    throttled: status === 429,
  })
}
