import { randomBytes } from 'node:crypto'

/** An object as it was sent. */
export interface DataObject {
  readonly id: string
  readonly [field: string]: unknown
}

/** One accepted version of an object. */
export interface StoredObject {
  readonly id: string
  readonly data: DataObject
  readonly requestId: string
  /** ISO 8601. */
  readonly acceptedAt: string
  /** How many versions were accepted up to this one. */
  readonly versions: number
}

export type RequestStatus = 'queued' | 'uploading' | 'ingesting' | 'succeeded' | 'failed'

export interface StoredRequest {
  readonly requestId: string
  readonly namespace: string
  readonly kind: 'add' | 'import'
  readonly status: RequestStatus
  readonly objectCount: number
  /** ISO 8601. */
  readonly createdAt: string
  /** Of an import. */
  readonly objectKey?: string
  /** Why an import failed: the lines, without their content. */
  readonly error?: string
}

export interface StoredDeletion {
  readonly requestId: string
  readonly subject_user_id: string
  readonly external_request_id?: string
  readonly requested_at?: string
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
  ids: readonly string[]
  error?: string
}

export interface StoreOptions {
  readonly keepHistory: boolean
  readonly keepObjects: boolean
  readonly processingMs: number
}

/** Everything that was accepted. */
export class Store {
  readonly #options: StoreOptions
  readonly #objects = new Map<string, Map<string, StoredObject>>()
  readonly #histories = new Map<string, Map<string, StoredObject[]>>()
  readonly #requests = new Map<string, RequestRecord>()
  readonly settings = new Map<string, Readonly<Record<string, unknown>>>()
  readonly deletions: StoredDeletion[] = []
  settingsCalls = 0
  acceptedObjects = 0

  constructor(options: StoreOptions) {
    this.#options = options
  }

  /** Namespaces that hold an object or have settings. */
  namespaces(): string[] {
    return [...new Set([...this.#objects.keys(), ...this.settings.keys()])].sort()
  }

  objects(namespace: string): ReadonlyMap<string, StoredObject> {
    return this.#objects.get(namespace) ?? new Map()
  }

  /** Oldest first; without `keepHistory`, the latest alone. */
  history(namespace: string, id: string): readonly StoredObject[] {
    const kept = this.#histories.get(namespace)?.get(id)
    if (kept !== undefined) return [...kept]
    const latest = this.objects(namespace).get(id)
    return latest === undefined ? [] : [latest]
  }

  requests(): IterableIterator<RequestRecord> {
    return this.#requests.values()
  }

  request(requestId: string): RequestRecord | undefined {
    return this.#requests.get(requestId)
  }

  /** An add, whose objects are there at once. */
  add(namespace: string, objects: readonly DataObject[]): RequestRecord {
    const request = this.#open(namespace, 'add')
    this.#arrive(request, objects)
    return request
  }

  /** An import, which waits for its upload. */
  openImport(namespace: string): RequestRecord {
    return this.#open(namespace, 'import')
  }

  /** The upload of an import. With an error none of its objects is taken. */
  upload(request: RequestRecord, objects: readonly DataObject[], error?: string): void {
    if (error === undefined) {
      this.#arrive(request, objects)
    } else {
      request.error = error
      request.arrivedAt = Date.now()
    }
  }

  describe(request: RequestRecord): StoredRequest {
    return {
      requestId: request.requestId,
      namespace: request.namespace,
      kind: request.kind,
      status: this.statusOf(request),
      objectCount: request.ids.length,
      createdAt: request.createdAt,
      ...(request.objectKey === undefined ? {} : { objectKey: request.objectKey }),
      ...(request.error === undefined ? {} : { error: request.error }),
    }
  }

  /** A third of the processing time is spent queued; imports are ingested at once. */
  statusOf(request: RequestRecord): RequestStatus {
    if (request.arrivedAt === null) return 'uploading'
    const age = Date.now() - request.arrivedAt
    if (age < this.#options.processingMs) {
      return request.kind === 'add' && age < this.#options.processingMs / 3 ? 'queued' : 'ingesting'
    }
    return request.error === undefined ? 'succeeded' : 'failed'
  }

  clear(): void {
    for (const part of [this.#objects, this.#histories, this.#requests, this.settings]) part.clear()
    this.deletions.length = 0
    this.settingsCalls = 0
    this.acceptedObjects = 0
  }

  #open(namespace: string, kind: 'add' | 'import'): RequestRecord {
    const requestId = newRequestId()
    const request: RequestRecord = {
      requestId,
      namespace,
      kind,
      createdAt: new Date().toISOString(),
      arrivedAt: null,
      ids: [],
      ...(kind === 'import' ? { objectKey: `imports/${namespace}/${requestId}.jsonl` } : {}),
    }
    this.#requests.set(requestId, request)
    return request
  }

  #arrive(request: RequestRecord, objects: readonly DataObject[]): void {
    const now = new Date()
    const acceptedAt = now.toISOString()
    request.arrivedAt = now.getTime()
    this.acceptedObjects += objects.length
    if (!this.#options.keepObjects) return
    request.ids = objects.map((object) => object.id)
    const latest = within(this.#objects, request.namespace)
    const histories = this.#options.keepHistory ? within(this.#histories, request.namespace) : null
    for (const data of objects) {
      const { id } = data
      const versions = (latest.get(id)?.versions ?? 0) + 1
      const stored: StoredObject = { id, data, requestId: request.requestId, acceptedAt, versions }
      latest.set(id, stored)
      if (histories === null) continue
      const history = histories.get(id)
      if (history === undefined) histories.set(id, [stored])
      else history.push(stored)
    }
  }
}

export function newRequestId(): string {
  return `req_${randomBytes(12).toString('hex')}`
}

function within<V>(maps: Map<string, Map<string, V>>, namespace: string): Map<string, V> {
  let map = maps.get(namespace)
  if (map === undefined) {
    map = new Map()
    maps.set(namespace, map)
  }
  return map
}
