import { nothingFound, type Outcome, type Output } from './evaluate.js'
import type { RequestRecord } from './requests.js'

/** One evaluated object, as the status of an add and the results of an import give it. */
export interface ResultObject {
  readonly id: string
  readonly output: Output
  readonly url: string
}

/** What became of one object of a request that has been processed. */
export function outcomeIn(request: RequestRecord, id: string): Outcome {
  return request.outcomes.get(id) ?? nothingFound
}

/** Leads to the object as the emulator holds it. */
export function urlOf(namespace: string, id: string, origin: string): string {
  return `${origin}/emulator/objects/${namespace}/${encodeURIComponent(id)}`
}

/** The results of a request. An object whose evaluation failed has none: the contract has no words for it but the webhook's. */
export function* resultsOf(request: RequestRecord, origin: string): Generator<ResultObject> {
  for (const id of request.ids) {
    const outcome = outcomeIn(request, id)
    if ('output' in outcome) yield { id, output: outcome.output, url: urlOf(request.namespace, id, origin) }
  }
}

export function resultCountOf({ ids, outcomes }: RequestRecord): number {
  let failed = 0
  for (const outcome of outcomes.values()) if ('error' in outcome) failed += 1
  return ids.length - failed
}

const blockCharacters = 64 * 1024

/** The results as JSONL, in blocks: of a large import they are more than one string could hold. */
export function* resultLinesOf(request: RequestRecord, origin: string): Generator<string> {
  let block = ''
  for (const result of resultsOf(request, origin)) {
    block += `${JSON.stringify(result)}\n`
    if (block.length < blockCharacters) continue
    yield block
    block = ''
  }
  if (block !== '') yield block
}
