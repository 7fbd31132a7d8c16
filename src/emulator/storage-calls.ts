import { type Answer, storageRefusal } from './answer.js'
import type { Call, Context, Incoming } from './call.js'
import { readJsonLines } from './json-lines.js'
import type { RequestRecord } from './requests.js'
import { resultLinesOf } from './results.js'

const uploaded: Answer = { status: 200, body: '' }

/** The path of the pre-signed URLs of an import. */
export const uploadPath = (objectKey: string): string => `/upload/${objectKey}`
export const resultsPath = (requestId: string): string => `/results/${requestId}`

/** The request that a pre-signed URL belongs to. After `reset` one may lead nowhere. */
export function requestAt({ store }: Context, { route, path }: Pick<Incoming, 'route' | 'path'>) {
  if (route.call === 'results') return store.request(route.subject)
  return store.request(path.slice(path.lastIndexOf('/') + 1, -'.jsonl'.length))
}

/** Reads and judges a request to a pre-signed URL. */
export async function prepareStorageCall(context: Context, incoming: Incoming): Promise<Call> {
  const { route, request } = incoming
  const target = requestAt(context, incoming)
  const namespace = target?.namespace ?? ''
  const refusal = refusalOf(context, incoming)
  if (refusal !== null) {
    // Read to its end: a client that is still sending does not see an answer.
    request.resume()
    await new Promise((resolve) => request.once('close', resolve).once('end', resolve))
    return only(namespace, refusal)
  }
  if (route.call === 'results') return only(namespace, results(context, target))

  const { objects, lines, bytes, mistakes } = await readJsonLines(request, context.store.keepsObjects)
  if (target === undefined) return only(namespace, storageRefusal(404, 'NoSuchKey', 'The import is not known.'))
  const take = (error?: string): Answer => {
    // A repeated upload replaces nothing: ingestion has begun with the first.
    if (target.arrivedAt !== null) return uploaded
    context.store.upload(target, { objects, lines, bytes, ...(error === undefined ? {} : { error }) })
    return uploaded
  }
  return {
    namespace,
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
  return { status: 200, body: resultLinesOf(request, origin()), type: 'application/x-ndjson' }
}

function only(namespace: string, answer: Answer): Call {
  return {
    namespace,
    ids: [],
    accept: () => answer,
    reject: ({ status, message }) => storageRefusal(status, 'Rejected', message),
  }
}
