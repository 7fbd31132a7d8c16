/** The contract's values first, then those of the later public documentation. */
const contentTypes = ['image_url', 'video_url', 'website_url', 'datetime', 'metadata', 'audio_url', 'card']

const hintTypes = [
  ...[
    'title',
    'subtitle',
    'description',
    'primary_image_url',
    'video_url',
    'location',
    'compact_text',
    'markdown',
    'html',
  ],
  ...[
    'email.reply_to',
    'email.body',
    'email.subject',
    'email.body_image',
    'email.logo_image',
    'email.event',
    'email.footer',
  ],
  ...['audio_url', 'date', 'card', 'chat_thread'],
]

/** Checks the body of `PUT …/settings`. Answers with what is wrong, or `null`. */
export function mistakeInSettings(body: unknown): string | null {
  if (!isRecord(body)) return 'The body is not a JSON object.'
  const other = Object.keys(body).find((word) => word !== 'schema')
  if (other !== undefined) return `Unknown setting ${JSON.stringify(other)}.`
  const { schema } = body
  if (!isRecord(schema)) return '`schema` is not an object.'
  for (const [field, settings] of Object.entries(schema)) {
    const where = `schema[${JSON.stringify(field)}]`
    if (!isRecord(settings)) return `${where} is not an object.`
    for (const [word, value] of Object.entries(settings)) {
      const check = Object.hasOwn(checks, word) ? checks[word] : undefined
      const mistake = check === undefined ? 'is not a known setting' : check(value)
      if (mistake !== null) return `${where}.${word} ${mistake}.`
    }
  }
  return null
}

export function isNamespace(text: string): boolean {
  return /^[A-Za-z0-9_-]+$/.test(text)
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const checks: Readonly<Record<string, (value: unknown) => string | null>> = {
  content_type: (value) => (contentTypes.includes(value as string) ? null : `is not one of ${contentTypes.join(', ')}`),
  display_hint: (value) => {
    if (!isRecord(value)) return 'is not an object'
    const { type, name, order, ...rest } = value
    if (!hintTypes.includes(type as string)) return `has a type that is not one of ${hintTypes.join(', ')}`
    if (name !== undefined && typeof name !== 'string') return 'has a name that is not a string'
    if (order !== undefined && typeof order !== 'number') return 'has an order that is not a number'
    const other = Object.keys(rest)[0]
    return other === undefined ? null : `has an unknown word ${JSON.stringify(other)}`
  },
  field_limit: (value) => (typeof value === 'number' && value > 0 ? null : 'is not a number above 0'),
  namespace_ref: (value) => (typeof value === 'string' && isNamespace(value) ? null : 'is not a namespace'),
  belongs_to: (value) => (typeof value === 'string' && value !== '' ? null : 'is not a string'),
}
