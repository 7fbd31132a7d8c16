import type { RequestRecord } from './requests.js'
import { outcomeIn, urlOf } from './results.js'

/** What a webhook says of one object. */
export type WebhookEvent =
  | {
      readonly type: 'workflow.succeeded'
      readonly namespace: string
      readonly id: string
      readonly request_id: string
      readonly url: string
      readonly output: unknown
    }
  | {
      readonly type: 'workflow.failed'
      readonly namespace: string
      readonly id: string
      readonly request_id: string
      readonly error: string
    }

/** One event for every object of a request that has been processed; none for an import whose lines were bad. */
export function* eventsOf(request: RequestRecord, origin: string): Generator<WebhookEvent> {
  const { namespace, requestId: request_id } = request
  for (const id of request.ids) {
    const outcome = outcomeIn(request, id)
    if ('error' in outcome) yield { type: 'workflow.failed', namespace, id, request_id, error: outcome.error }
    else {
      const url = urlOf(namespace, id, origin)
      yield { type: 'workflow.succeeded', namespace, id, request_id, url, output: outcome.output }
    }
  }
}
