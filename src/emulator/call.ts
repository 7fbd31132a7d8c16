import type { IncomingMessage } from 'node:http'
import type { Answer } from './answer.js'
import type { Route } from './route.js'
import type { UrlSigner } from './signed-url.js'
import type { Store } from './store.js'

/** What every call works with. */
export interface Context {
  readonly store: Store
  readonly signer: UrlSigner
  readonly apiKey: string
  readonly maxBodyBytes: number
  readonly uploadTtlMs: number
  /** `http://127.0.0.1:1234`, without a slash at the end. */
  readonly origin: () => string
  /** Notes a broken rule of an integration. */
  readonly violation: (text: string) => void
}

export interface Incoming {
  readonly route: Route
  readonly request: IncomingMessage
  readonly path: string
  readonly query: string
}

export interface Rejection {
  readonly status: number
  readonly message: string
}

/** A request that has been read and judged, but not yet taken: a fault can still come between. */
export interface Call {
  /** `''` where it holds no objects. */
  readonly namespace: string
  /** The objects that it holds; of an upload only where objects are kept. */
  readonly ids: readonly string[]
  /** Takes it (or says what was wrong with it). */
  accept(): Answer
  /** Refuses it, as a fault wants. */
  reject(rejection: Rejection): Answer
}
