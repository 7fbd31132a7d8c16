import { type Answer, storageRefusal } from './answer.js'
import { readJsonLines } from './body.js'
import type { Call, Context, Incoming } from './call.js'
import { resultsOf } from './results.js'
import type { RequestRecord } from './store.js'

const uploaded: Answer = { status: 200, body: '' }

/** Reads and judges a request to a pre-signed URL. */
export async function prepareStorageCall(context: Context, incoming: Incoming): Promise<Call> {
  const { route, request, path } = incoming
  const refusal = refusalOf(context, incoming)
  if (refusal !== null) {
    // Read to its end: a client that is still sending does not see an answer.
    request.resume()
    await new Promise((resolve) => request.once('close', resolve).once('end', resolve))
    return only(refusal)
  }
  if (route.call === 'results') return only(results(context, context.store.request(route.subject)))

  const requestId = path.slice(path.lastIndexOf('/') + 1, -'.jsonl'.length)
  const { objects, mistakes } = await readJsonLines(request)
  const target = context.store.request(requestId)
  // After `reset` a URL is still signed but leads nowhere.
  if (target === undefined) return only(storageRefusal(404, 'NoSuchKey', 'The import is not known.'))
  const take = (error?: string): Answer => {
    // A repeated upload replaces nothing: ingestion has begun with the first.
    if (target.arrivedAt === null) context.store.upload(target, objects, error)
    return uploaded
  }
  return {
    namespace: target.namespace,
    ids: objects.map((object) => object.id),
    accept: () => take(mistakes.length === 0 ? undefined : mistakes.join('; ')),
    reject: ({ message }) => take(message),
  }
}

function refusalOf(context: Context, { route, request, path, query }: Incoming): Answer | null {
  const { headers } = request
  if (headers.authorization !== undefined) {
    const what = route.call === 'upload' ? 'an upload URL' : 'a results URL'
    context.violation(`an Authorization header was sent to ${what}`)
    return storageRefusal(400, 'InvalidArgument', 'Only one auth mechanism allowed.')
  }
  const signature = context.signer.check(request.method ?? '', path, query)
  if (signature === 'forged') return storageRefusal(403, 'SignatureDoesNotMatch', 'The signature does not match.')
  if (signature === 'expired') return storageRefusal(403, 'AccessDenied', 'Request has expired.')
  if (route.call !== 'upload') return null
  if (headers['content-length'] === undefined) {
    return storageRefusal(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.')
  }
  // The content type is part of what is signed, so another one is a signature that does not match.
  if (headers['content-type'] !== 'application/json') {
    return storageRefusal(403, 'SignatureDoesNotMatch', 'The signature does not match: Content-Type is signed.')
  }
  return null
}

function results({ store, origin }: Context, request: RequestRecord | undefined): Answer {
  if (request === undefined || store.statusOf(request) !== 'succeeded') {
    return storageRefusal(404, 'NoSuchKey', 'There are no results.')
  }
  const body = resultsOf(request, origin()).map((result) => `${JSON.stringify(result)}\n`)
  return { status: 200, body: body.join(''), type: 'application/x-ndjson' }
}

function only(answer: Answer): Call {
  return {
    namespace: '',
    ids: [],
    accept: () => answer,
    reject: ({ status, message }) => storageRefusal(status, 'Rejected', message),
  }
}
