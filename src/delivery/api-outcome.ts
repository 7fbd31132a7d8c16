import { SyncError } from '../errors.js'
import type { ApiCall } from '../meter.js'
import { readRefusal } from './answers.js'
import { parseRetryAfter } from './retry.js'

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

/** There was no answer, or not all of one. */
export function unanswered(cause: unknown, origin: string, timeoutMs: number): Outcome<never> {
  const timedOut = cause instanceof Error && cause.name === 'TimeoutError'
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : ''
  const message = timedOut ? `The API did not answer within ${timeoutMs} ms` : `The API could not be reached${code}`
  const hint = `Check SAFETYKIT_BASE_URL (${origin}), the network and the proxy settings. It is tried again by itself.`
  return retry(new SyncError('API_UNAVAILABLE', message, { retryable: true, cause, hint }), { ambiguous: true })
}

/** A 2xx whose body is not the contract's. */
export function unreadable(status: number): Outcome<never> {
  const words = `The API answered ${status} with a body that is not its contract's`
  const error = new SyncError('API_UNEXPECTED', words, { retryable: true, hint: checkBaseUrl })
  return retry(error, { status, ambiguous: true })
}

interface Refused {
  readonly call: ApiCall['call']
  readonly status: number
  readonly text: string
  readonly retryAfter: string | undefined
}

/** An answer that is no 2xx. */
export function refused({ call, status, text, retryAfter }: Refused): Outcome<never> {
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
    ambiguous: status !== 429 && !isNoCall,
    throttled: status === 429,
  })
}

/** Where what answers is not the API, every object would be refused alike: it is waited for, and none is parked for it. */
const checkBaseUrl =
  'Check that SAFETYKIT_BASE_URL is the API itself, without /v1 at its end, and not a proxy or a login page.'

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
