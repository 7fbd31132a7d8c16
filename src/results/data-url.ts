import { Agent, type Dispatcher, EnvHttpProxyAgent, errors } from 'undici'
import { SyncError } from '../errors.js'

/** A line is the result of one object; nothing that is larger is held. */
const maxLineBytes = 16 * 1024 * 1024

/** Until the answer begins, and between two parts of it. */
const silenceMs = 60_000

/**
 * Reads the results of imports from object storage. It knows no API key, since none may be sent there. What is not read for
 * a while is not fetched either, so the size does not matter.
 */
export class ResultFiles {
  readonly #agent: Dispatcher

  constructor(options: {
    readonly proxy?:
      | { readonly httpProxy?: string; readonly httpsProxy?: string; readonly noProxy?: string }
      | undefined
  }) {
    const timeouts = {
      connect: { timeout: 10_000 },
      headersTimeout: silenceMs,
      bodyTimeout: silenceMs,
      keepAliveTimeout: 4_000,
    }
    const proxied = [options.proxy?.httpProxy, options.proxy?.httpsProxy].some((value) => value)
    this.#agent = proxied ? new EnvHttpProxyAgent({ ...timeouts, ...options.proxy }) : new Agent(timeouts)
  }

  /**
   * The lines that are not empty, as they come.
   * @throws {SyncError} `API_UNAVAILABLE` where the URL is refused (it expires) or the stream breaks off.
   */
  async *lines(url: string, signal: AbortSignal): AsyncGenerator<string> {
    let status: number | null = null
    try {
      const { origin, pathname, search } = new URL(url)
      const answer = await this.#agent.request({
        origin,
        path: pathname + search,
        method: 'GET',
        headers: { accept: '*/*', 'accept-encoding': 'identity' },
        signal,
      })
      status = answer.statusCode
      if (status !== 200) {
        await answer.body.dump()
        throw new SyncError('API_UNAVAILABLE', `Object storage answered ${status} for the results of an import`, {
          retryable: true,
          hint: 'A new URL is asked for by itself.',
        })
      }
      yield* linesOf(answer.body)
    } catch (cause) {
      if (cause instanceof SyncError) throw cause
      const code = cause instanceof errors.UndiciError || isCoded(cause) ? ` (${cause.code})` : ''
      const what = status === null ? 'could not be fetched' : 'broke off'
      throw new SyncError('API_UNAVAILABLE', `The results of an import ${what}${code}`, { retryable: true, cause })
    }
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.#agent.destroy()
  }
}

async function* linesOf(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end))
      const line = Buffer.concat(parts).toString('utf8').trim()
      parts = []
      bytes = 0
      from = end + 1
      if (line !== '') yield line
    }
    if (from === chunk.length) continue
    parts.push(chunk.subarray(from))
    bytes += chunk.length - from
    if (bytes > maxLineBytes) {
      throw new SyncError('API_UNEXPECTED', `A line of the results is larger than ${maxLineBytes} bytes`)
    }
  }
  const rest = Buffer.concat(parts).toString('utf8').trim()
  if (rest !== '') yield rest
}

const isCoded = (cause: unknown): cause is Error & { readonly code: string } =>
  cause instanceof Error && 'code' in cause && typeof cause.code === 'string'
