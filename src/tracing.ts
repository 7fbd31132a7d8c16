import {
  type Attributes,
  context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'

/*
 * Spans for an application that has set OpenTelemetry up; elsewhere its API does nothing. They hold no ids, no keys and no
 * values of rows, and no message of an error, since Postgres' ones quote values.
 */

const tracer = trace.getTracer('prisma-extension-safetykit')

interface TracedOptions {
  readonly kind?: 'client' | 'internal'
  /** It begins a trace of its own, whatever it was called from: it serves many changes. Default: `false`. */
  readonly root?: boolean
  readonly attributes: Attributes
}

/** Does some work under a span, which ends with it; the span is marked as failed where the work fails. */
export function traced<T>(
  name: string,
  { kind = 'internal', root = false, attributes }: TracedOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const options: SpanOptions = { kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL, root, attributes }
  return tracer.startActiveSpan(name, options, async (span) => {
    try {
      return await work(span)
    } catch (error) {
      markFailed(span, errorType(error))
      throw error
    } finally {
      span.end()
    }
  })
}

/** @param type of a small set: an error code, a status. */
export function markFailed(span: Span, type: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

/** Begins background work outside of the request that happened to start it. */
export const detached = <T>(work: () => T): T => context.with(ROOT_CONTEXT, work)

function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
