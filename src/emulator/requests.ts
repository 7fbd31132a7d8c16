import type { Outcome } from './evaluate.js'
import type { DataObject } from './objects.js'

export type RequestStatus = 'queued' | 'uploading' | 'ingesting' | 'succeeded' | 'failed'

export interface StoredRequest {
  readonly requestId: string
  readonly namespace: string
  readonly kind: 'add' | 'import'
  readonly status: RequestStatus
  /** Objects that were sent, each version counted; 0 of an import with bad lines. */
  readonly objectCount: number
  /** ISO 8601. */
  readonly createdAt: string
  /** Of an import. */
  readonly objectKey?: string
  /** Why it failed: of an import the lines, without their content; else what the evaluations failed of. */
  readonly error?: string
}

/** A request as it changes; `describe` gives what others see. */
export interface RequestRecord {
  readonly requestId: string
  readonly namespace: string
  readonly kind: 'add' | 'import'
  readonly createdAt: string
  readonly objectKey?: string
  /** When its objects arrived (milliseconds); `null` is an import that waits for its upload. */
  arrivedAt: number | null
  processed: boolean
  objectCount: number
  /** What is to be evaluated (of an import: to land as well); none once that is done, or where objects are not kept. */
  waiting: readonly DataObject[]
  /** Of the objects that were evaluated, each once. */
  ids: readonly string[]
  /** Of the objects in which something was found, or whose evaluation failed. */
  outcomes: ReadonlyMap<string, Outcome>
  error?: string
}

export function describe(request: RequestRecord, status: RequestStatus): StoredRequest {
  const { requestId, namespace, kind, objectCount, createdAt, objectKey, error } = request
  return {
    requestId,
    namespace,
    kind,
    status,
    objectCount,
    createdAt,
    ...(objectKey === undefined ? {} : { objectKey }),
    ...(error === undefined ? {} : { error }),
  }
}
