import type { RequestRecord } from './store.js'

/** One evaluated object, as the status of an add and the results of an import give it. */
export interface ResultObject {
  readonly id: string
  readonly output: {
    readonly actions: readonly unknown[]
    readonly fields: Readonly<Record<string, unknown>>
    readonly labels: readonly { readonly label: string }[]
  }
  readonly url: string
}

/** The emulator finds nothing in anything: no actions, no labels. The `url` leads to the object as it holds it. */
export function resultsOf(request: RequestRecord, origin: string): ResultObject[] {
  return [...new Set(request.ids)].map((id) => ({
    id,
    output: { actions: [], fields: {}, labels: [] },
    url: `${origin}/emulator/objects/${request.namespace}/${encodeURIComponent(id)}`,
  }))
}
