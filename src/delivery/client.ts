import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici'
import type { FieldSettings } from '../config/resolved.js'
import type { ApiCall, Meter } from '../meter.js'
import { markFailed, traced } from '../tracing.js'
import { isSettingsAnswer, readAddAnswer, readImportAnswer, type StartedImport } from './answers.js'
import { type Outcome, refused, unanswered, unreadable } from './api-outcome.js'

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
      return { status: null, outcome: unanswered(cause, this.#origin, this.#options.timeoutMs) }
    }
    const status = answer.statusCode
    if (status >= 200 && status < 300) {
      const value = read(text)
      if (value !== null) return { status, outcome: { kind: 'accepted', answer: value } }
      return { status, outcome: unreadable(status) }
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
