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
  /** ISO 8601. Of an imported object: when its import landed. */
  readonly acceptedAt: string
  /** How many versions were accepted up to this one. */
  readonly versions: number
}

/** The latest state of every object, and what it was before. */
export class Objects {
  readonly #keepHistory: boolean
  readonly #latest = new Map<string, Map<string, StoredObject>>()
  /** Only of objects with more than one version: most have one. */
  readonly #histories = new Map<string, Map<string, StoredObject[]>>()

  constructor(keepHistory: boolean) {
    this.#keepHistory = keepHistory
  }

  namespaces(): IterableIterator<string> {
    return this.#latest.keys()
  }

  latest(namespace: string): ReadonlyMap<string, StoredObject> {
    return this.#latest.get(namespace) ?? new Map()
  }

  /** Oldest first; without `keepHistory`, the latest alone. */
  history(namespace: string, id: string): readonly StoredObject[] {
    const kept = this.#histories.get(namespace)?.get(id)
    if (kept !== undefined) return [...kept]
    const latest = this.latest(namespace).get(id)
    return latest === undefined ? [] : [latest]
  }

  /** Makes these the latest, in their order. */
  put(namespace: string, requestId: string, acceptedAt: string, objects: readonly DataObject[]): void {
    const latest = within(this.#latest, namespace)
    const histories = this.#keepHistory ? within(this.#histories, namespace) : null
    for (const data of objects) {
      const { id } = data
      const before = latest.get(id)
      const stored: StoredObject = { id, data, requestId, acceptedAt, versions: (before?.versions ?? 0) + 1 }
      latest.set(id, stored)
      if (histories === null || before === undefined) continue
      const history = histories.get(id)
      if (history === undefined) histories.set(id, [before, stored])
      else history.push(stored)
    }
  }

  clear(): void {
    this.#latest.clear()
    this.#histories.clear()
  }
}

function within<V>(maps: Map<string, Map<string, V>>, namespace: string): Map<string, V> {
  let map = maps.get(namespace)
  if (map === undefined) {
    map = new Map()
    maps.set(namespace, map)
  }
  return map
}
