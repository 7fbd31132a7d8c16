import { type Answer, json, refusal } from './answer.js'
import { mistakeInObject, parseJson, readBody } from './body.js'
import type { Call, Context, Incoming } from './call.js'
import type { DataObject } from './objects.js'
import { resultCountOf, resultsOf } from './results.js'
import { isNamespace, isRecord, mistakeInSettings } from './settings.js'
import { resultsPath, uploadPath } from './storage-calls.js'
import { newRequestId, type StoredDeletion } from './store.js'

/** Also public: a status answer over 5 MiB is a 413. */
const maxAnswerBytes = 5 * 1024 * 1024

/** Reads and judges a request to the API itself. */
export async function prepareApiCall(context: Context, incoming: Incoming): Promise<Call> {
  const { route, request } = incoming
  const { namespace } = route
  const body = await readBody(request, context.maxBodyBytes)
  if (request.headers.authorization !== `Bearer ${context.apiKey}`) {
    return refused(refusal(401, 'unauthorized', 'The API key is missing or wrong: Authorization: Bearer sk_…'))
  }
  if (body === 'too-large') {
    return refused(refusal(413, 'payload_too_large', `The body is larger than ${context.maxBodyBytes} bytes.`))
  }
  if (route.call !== 'deletion' && !isNamespace(namespace)) {
    return invalid('A namespace is made of letters, digits, _ and -.')
  }
  if (route.call === 'status') return ready(namespace, [], () => status(context, incoming))
  if (!isJson(request.headers['content-type'])) {
    return refused(refusal(415, 'unsupported_media_type', 'Content-Type: application/json is needed.'))
  }
  const value = parseJson(body)
  if (value === undefined) return invalid('The body is not valid JSON.')
  if (!isRecord(value)) return invalid('The body is not a JSON object.')
  switch (route.call) {
    case 'add':
      return add(context, namespace, value)
    case 'import':
      return ready(namespace, [], () => startImport(context, namespace))
    case 'settings':
      return settings(context, namespace, value)
    default:
      return deletion(context, value)
  }
}

function add({ store }: Context, namespace: string, body: Record<string, unknown>): Call {
  const { data } = body
  if (data === undefined) return invalid('`data` is missing.')
  const objects: readonly unknown[] = Array.isArray(data) ? data : [data]
  if (objects.length === 0) return invalid('`data` is empty.')
  for (let index = 0; index < objects.length; index += 1) {
    const mistake = mistakeInObject(objects[index])
    if (mistake !== null) return invalid(Array.isArray(data) ? `data[${index}] ${mistake}.` : `data ${mistake}.`)
  }
  const checked = objects as readonly DataObject[]
  const ids = checked.map((object) => object.id)
  return ready(namespace, ids, () => {
    const { requestId } = store.add(namespace, checked)
    return json(200, { requestId, status: 'accepted' })
  })
}

function startImport({ store, signer, uploadTtlMs, origin }: Context, namespace: string): Answer {
  const { requestId, objectKey } = store.openImport(namespace)
  const expiresAt = new Date(Date.now() + uploadTtlMs)
  return json(200, {
    status: 'pending_upload',
    requestId,
    objectKey,
    upload_url: signer.sign(origin(), 'PUT', uploadPath(objectKey), expiresAt),
    expires_at: expiresAt.toISOString(),
  })
}

function status({ store, signer, uploadTtlMs, origin }: Context, { route }: Incoming): Answer {
  const request = store.request(route.subject)
  if (request === undefined || request.namespace !== route.namespace) {
    return refusal(404, 'not_found', 'This namespace has no such request.')
  }
  const { requestId: request_id, namespace } = request
  const state = store.statusOf(request)
  const succeeded = state === 'succeeded'
  const error = state === 'failed' ? { error: request.error } : {}
  if (request.kind === 'add') {
    const body = JSON.stringify({
      namespace,
      request_id,
      status: state,
      data: succeeded ? [...resultsOf(request, origin())] : [],
      ...error,
    })
    if (Buffer.byteLength(body) <= maxAnswerBytes) return { status: 200, body }
    return refusal(413, 'answer_too_large', `The answer is larger than ${maxAnswerBytes} bytes.`)
  }
  const expiresAt = new Date(Date.now() + uploadTtlMs)
  return json(200, {
    namespace,
    request_id,
    status: state,
    data_url: succeeded ? signer.sign(origin(), 'GET', resultsPath(request_id), expiresAt) : null,
    data_count: succeeded ? resultCountOf(request) : 0,
    data_expires_at: succeeded ? expiresAt.toISOString() : null,
    ...error,
  })
}

function settings({ store }: Context, namespace: string, body: Record<string, unknown>): Call {
  const mistake = mistakeInSettings(body)
  if (mistake !== null) return invalid(mistake)
  return ready(namespace, [], () => {
    store.settings.set(namespace, body.schema as Record<string, unknown>)
    store.settingsCalls += 1
    return json(200, { namespace, status: 'updated' })
  })
}

/** Erasing is only noted: the API does not say which fields name an end user. */
function deletion({ store }: Context, body: Record<string, unknown>): Call {
  const { subject_user_id, external_request_id, requested_at } = body
  if (typeof subject_user_id !== 'string' || subject_user_id === '')
    return invalid('`subject_user_id` is not a string.')
  if (external_request_id !== undefined && typeof external_request_id !== 'string') {
    return invalid('`external_request_id` is not a string.')
  }
  if (requested_at !== undefined && (typeof requested_at !== 'string' || Number.isNaN(Date.parse(requested_at)))) {
    return invalid('`requested_at` is not a date.')
  }
  return ready('', [], () => {
    const requestId = newRequestId()
    const stored: StoredDeletion = {
      requestId,
      subject_user_id,
      ...(external_request_id === undefined ? {} : { external_request_id }),
      ...(requested_at === undefined ? {} : { requested_at }),
    }
    store.deletions.push(stored)
    return json(200, { requestId, status: 'accepted' })
  })
}

function isJson(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/json\s*(;|$)/i.test(contentType)
}

function ready(namespace: string, ids: readonly string[], accept: () => Answer): Call {
  return { namespace, ids, accept, reject: ({ status, message }) => refusal(status, 'rejected', message) }
}

function refused(answer: Answer): Call {
  return ready('', [], () => answer)
}

function invalid(message: string): Call {
  return refused(refusal(400, 'invalid_request', message))
}
