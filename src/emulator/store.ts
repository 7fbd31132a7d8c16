import { randomBytes } from 'node:crypto'
import { type Evaluate, nothingFound, type Outcome, outcomeOf } from './evaluate.js'
import { type DataObject, Objects, type StoredObject } from './objects.js'
import { Processing } from './processing.js'
import type { RequestRecord, RequestStatus } from './requests.js'

export interface StoredDeletion {
  readonly requestId: string
  readonly subject_user_id: string
  readonly external_request_id?: string
  readonly requested_at?: string
}

/** Imports by status, and what was uploaded for them. */
export interface ImportCounts {
  readonly uploading: number
  readonly ingesting: number
  readonly succeeded: number
  readonly failed: number
  /** Bytes of complete uploads. */
  readonly uploadedBytes: number
}

/** The upload of an import. */
export interface Upload {
  /** None where they are not kept. */
  readonly objects: readonly DataObject[]
  readonly lines: number
  readonly bytes: number
  /** Why none of its objects is taken. */
  readonly error?: string
}

export interface StoreOptions {
  readonly keepHistory: boolean
  readonly keepObjects: boolean
  readonly processingMs: number
  readonly importProcessingMs: number
  readonly evaluate: Evaluate
  /** A request has succeeded or failed. */
  readonly onProcessed: (request: RequestRecord) => void
}

/** Everything that was accepted. Whatever is asked or added first processes what is due. */
export class Store {
  readonly keepsObjects: boolean
  readonly #options: StoreOptions
  readonly #objects: Objects
  readonly #requests = new Map<string, RequestRecord>()
  readonly #adds: Processing<RequestRecord>
  readonly #imports: Processing<RequestRecord>
  #counts = noImports()
  #acceptedObjects = 0
  readonly settings = new Map<string, Readonly<Record<string, unknown>>>()
  readonly deletions: StoredDeletion[] = []
  settingsCalls = 0

  constructor(options: StoreOptions) {
    this.#options = options
    this.keepsObjects = options.keepObjects
    this.#objects = new Objects(options.keepHistory)
    this.#adds = new Processing(options.processingMs, (request) => this.#finish(request))
    this.#imports = new Processing(options.importProcessingMs, (request) => this.#land(request))
  }

  /** Processes what is due. */
  settle(): void {
    this.#imports.settle()
    this.#adds.settle()
  }

  /** Namespaces that hold an object or have settings. */
  namespaces(): string[] {
    this.settle()
    return [...new Set([...this.#objects.namespaces(), ...this.settings.keys()])].sort()
  }

  objects(namespace: string): ReadonlyMap<string, StoredObject> {
    this.settle()
    return this.#objects.latest(namespace)
  }

  history(namespace: string, id: string): readonly StoredObject[] {
    this.settle()
    return this.#objects.history(namespace, id)
  }

  requests(): IterableIterator<RequestRecord> {
    this.settle()
    return this.#requests.values()
  }

  request(requestId: string): RequestRecord | undefined {
    return this.#requests.get(requestId)
  }

  get acceptedObjects(): number {
    this.settle()
    return this.#acceptedObjects
  }

  get importCounts(): ImportCounts {
    this.settle()
    return { ...this.#counts }
  }

  /** An add, whose objects are the latest at once. */
  add(namespace: string, objects: readonly DataObject[]): RequestRecord {
    this.settle()
    const request = this.#open({ requestId: newRequestId(), namespace, kind: 'add' })
    request.arrivedAt = Date.now()
    request.objectCount = objects.length
    if (this.keepsObjects) request.waiting = objects
    this.#take(request, objects)
    this.#adds.push(request)
    return request
  }

  /** An import, which waits for its upload. */
  openImport(namespace: string): { readonly requestId: string; readonly objectKey: string } {
    this.#counts.uploading += 1
    const requestId = newRequestId()
    const objectKey = `imports/${namespace}/${requestId}.jsonl`
    this.#open({ requestId, namespace, kind: 'import', objectKey })
    return { requestId, objectKey }
  }

  /** A complete upload. Its objects are nowhere yet: they land when the import has been processed. */
  upload(request: RequestRecord, { objects, lines, bytes, error }: Upload): void {
    this.settle()
    request.arrivedAt = Date.now()
    this.#counts.uploading -= 1
    this.#counts.ingesting += 1
    this.#counts.uploadedBytes += bytes
    if (error === undefined) {
      request.objectCount = lines
      request.waiting = objects
    } else {
      request.error = error
    }
    this.#imports.push(request)
  }

  holdImports(): void {
    this.#imports.hold()
  }

  /** Answers with how many landed. */
  releaseImports(requestId?: string): number {
    if (requestId === undefined) return this.#imports.releaseAll()
    const request = this.#requests.get(requestId)
    return request !== undefined && this.#imports.release(request) ? 1 : 0
  }

  /** An add is queued for a third of its processing time; imports are ingested at once. */
  statusOf(request: RequestRecord): RequestStatus {
    this.settle()
    if (request.arrivedAt === null) return 'uploading'
    if (request.processed) return request.error === undefined ? 'succeeded' : 'failed'
    const age = Date.now() - request.arrivedAt
    return request.kind === 'add' && age < this.#options.processingMs / 3 ? 'queued' : 'ingesting'
  }

  clear(): void {
    for (const part of [this.#adds, this.#imports, this.#objects, this.#requests, this.settings]) part.clear()
    this.deletions.length = 0
    this.settingsCalls = 0
    this.#acceptedObjects = 0
    this.#counts = noImports()
  }

  #open(identity: Pick<RequestRecord, 'requestId' | 'namespace' | 'kind' | 'objectKey'>): RequestRecord {
    const request: RequestRecord = {
      ...identity,
      createdAt: new Date().toISOString(),
      arrivedAt: null,
      processed: false,
      objectCount: 0,
      waiting: [],
      ids: [],
      outcomes: noOutcomes,
    }
    this.#requests.set(request.requestId, request)
    return request
  }

  #take(request: RequestRecord, objects: readonly DataObject[]): void {
    this.#acceptedObjects += request.objectCount
    if (!this.keepsObjects || objects.length === 0) return
    this.#objects.put(request.namespace, request.requestId, new Date().toISOString(), objects)
  }

  #land(request: RequestRecord): void {
    this.#take(request, request.waiting)
    this.#finish(request)
    this.#counts.ingesting -= 1
    this.#counts[request.error === undefined ? 'succeeded' : 'failed'] += 1
  }

  /** Evaluates what a request brought. It has failed where all its evaluations did. */
  #finish(request: RequestRecord): void {
    const { namespace, waiting } = request
    const objects = new Map(waiting.map((object) => [object.id, object]))
    const outcomes = new Map<string, Outcome>()
    const errors: string[] = []
    for (const [id, object] of objects) {
      const outcome = outcomeOf(this.#options.evaluate, object, namespace)
      if (outcome === nothingFound) continue
      outcomes.set(id, outcome)
      if ('error' in outcome) errors.push(outcome.error)
    }
    request.waiting = []
    request.ids = [...objects.keys()]
    request.outcomes = outcomes.size === 0 ? noOutcomes : outcomes
    request.processed = true
    if (errors[0] !== undefined && errors.length === objects.size) request.error = errors[0]
    this.#options.onProcessed(request)
  }
}

const noOutcomes: ReadonlyMap<string, Outcome> = new Map()

export function newRequestId(): string {
  return `req_${randomBytes(12).toString('hex')}`
}

function noImports() {
  return { uploading: 0, ingesting: 0, succeeded: 0, failed: 0, uploadedBytes: 0 }
}
