import type { ContentType, DisplayHintType } from '../config/words.js'
import type { Candidate, CandidateField } from './candidate.js'
import { namespaceOf, wordsOf } from './names.js'

/** What a configuration could say of a candidate. */
export interface GuessedMapping {
  readonly name: string
  readonly namespace: string
  readonly fields: readonly GuessedField[]
  readonly leftOut: readonly LeftOut[]
}

export interface GuessedField {
  readonly name: string
  readonly settings: GuessedSettings
}

export interface GuessedSettings {
  readonly as?: string
  readonly content_type?: ContentType
  readonly display_hint?: { readonly type: DisplayHintType }
  readonly namespace_ref?: string
}

export interface LeftOut {
  readonly name: string
  readonly why: 'looks secret' | 'is set with each write' | 'changes often' | 'is binary'
}

/** What nobody else is to know; better one too many, since it is told, and easily added. */
const secretWords = new Set([
  ...[
    'password',
    'passwd',
    'pwd',
    'passphrase',
    'passcode',
    'pin',
    'hash',
    'hashed',
    'salt',
    'token',
    'tokens',
    'secret',
  ],
  ...[
    'secrets',
    'otp',
    'totp',
    'mfa',
    '2fa',
    'credential',
    'credentials',
    'cookie',
    'jwt',
    'bearer',
    'apikey',
    'nonce',
  ],
  ...['cvv', 'cvc', 'ssn', 'iban', 'passport', 'encrypted', 'private', 'recovery', 'oauth'],
])
const secretPairs = ['api key', 'access key', 'signing key', 'session id', 'card number', 'account number', 'tax id']

/** Guesses the mappings of these candidates; references are only to one another. */
export function guessMappings(candidates: readonly Candidate[]): GuessedMapping[] {
  const namespaces = new Map<string, string>()
  for (const { name, shortName } of candidates) namespaces.set(name, unused(namespaceOf(shortName), namespaces))
  return candidates.map((candidate) => guess(candidate, namespaces))
}

function unused(namespace: string, taken: ReadonlyMap<string, string>): string {
  const all = new Set(taken.values())
  let name = namespace
  for (let number = 2; all.has(name); number += 1) name = `${namespace}_${number}`
  return name
}

function guess(candidate: Candidate, namespaces: ReadonlyMap<string, string>): GuessedMapping {
  const { name, key } = candidate
  const hints = new Hints(wordsOf(candidate.shortName))
  const fields: GuessedField[] = []
  const leftOut: LeftOut[] = []
  const sent = new Set(candidate.fields.map((field) => field.name))
  for (const field of candidate.fields) {
    // What is the object's id need not be sent twice.
    if (key.length === 1 && field.name === key[0] && field.refersTo === null) continue
    const why = whyLeftOut(field)
    if (why !== null) {
      leftOut.push({ name: field.name, why })
      continue
    }
    const refersTo = field.refersTo === null ? undefined : namespaces.get(field.refersTo)
    const settings = refersTo === undefined ? hints.of(field) : { namespace_ref: refersTo }
    fields.push({ name: field.name, settings: field.name === 'id' ? { as: otherThanId(sent), ...settings } : settings })
  }
  return { name, namespace: namespaces.get(name) ?? '', fields, leftOut }
}

/** `id` is the object's own. */
function otherThanId(taken: ReadonlySet<string>): string {
  let name = 'own_id'
  while (taken.has(name)) name = `${name}_`
  return name
}

function whyLeftOut({ name, kind, touched }: CandidateField): LeftOut['why'] | null {
  const words = wordsOf(name)
  const text = ` ${words.join(' ')} `
  if (words.some((word) => secretWords.has(word)) || secretPairs.some((pair) => text.includes(` ${pair} `))) {
    return 'looks secret'
  }
  if (kind === 'binary') return 'is binary'
  if (
    touched ||
    (kind === 'time' && /^(updated|modified|changed|touched)( at| on)?$|^last (updated|modified)/.test(text.trim()))
  ) {
    return 'is set with each write'
  }
  if (kind === 'time' && / last (seen|login|active|activity|visit)/.test(text)) return 'changes often'
  if (kind === 'number' && / (views?|counts?|counter|hits|clicks|impressions) $/.test(text)) return 'changes often'
  return null
}

type Hint = Omit<GuessedSettings, 'namespace_ref' | 'as'>

/** The hints of one table's fields: of those that there is one of, the first field that fits gets it. */
class Hints {
  readonly #table: readonly string[]
  readonly #given = new Set<DisplayHintType>()

  constructor(table: readonly string[]) {
    this.#table = table
  }

  of({ name, kind, list }: CandidateField): Hint {
    if (kind === 'time') return { content_type: 'datetime' }
    const words = wordsOf(name)
    if (kind === 'json') return words.some((word) => /^meta(data)?$/.test(word)) ? { content_type: 'metadata' } : {}
    if (kind !== 'text') return {}
    return this.#media(words) ?? (list ? {} : this.#text(words))
  }

  #media(words: readonly string[]): Hint | null {
    const last = words.at(-1) ?? ''
    const isUrl = /^(urls?|uris?|links?|href|src)$/.test(last)
    // A field `url` is of what its table is of: ProductImage.url.
    const about = isUrl && words.length === 1 ? this.#table : words
    const is = (pattern: RegExp): boolean => about.some((word) => pattern.test(word)) && (isUrl || pattern.test(last))
    if (is(/^(images?|photos?|pictures?|pics?|avatars?|thumbnails?|thumb|logos?|banners?|covers?)$/)) {
      return { content_type: 'image_url', ...this.#once('primary_image_url') }
    }
    if (is(/^(videos?|clips?|movies?)$/)) return { content_type: 'video_url', ...this.#once('video_url') }
    if (isUrl && is(/^(audios?|sounds?|podcasts?|recordings?)$/)) {
      return { content_type: 'audio_url', ...this.#once('audio_url') }
    }
    return isUrl || /^(websites?|homepages?)$/.test(last) ? { content_type: 'website_url' } : null
  }

  #text(words: readonly string[]): Hint {
    const name = words.join(' ')
    if (this.#table.some((word) => /^e?mails?$/.test(word))) {
      if (name === 'subject') return this.#once('email.subject')
      if (/^(body|html|text|content)/.test(name)) return this.#once('email.body')
      if (/^(from|reply to|sender)( (e?mail|address))?$/.test(name)) return this.#once('email.reply_to')
      if (name === 'footer') return this.#once('email.footer')
    }
    const last = words.at(-1) ?? ''
    if (last === 'html') return this.#once('html')
    if (/^(markdown|md)$/.test(last)) return this.#once('markdown')
    if (/^(title|name|headline|subject|display name|full name|username|user name)$/.test(name)) {
      const title = this.#once('title')
      return title.display_hint === undefined ? this.#once('subtitle') : title
    }
    if (/^(subtitle|tagline|slogan)$/.test(name)) return this.#once('subtitle')
    if (/(^| )(description|bio|biography|about|summary|details)$/.test(name)) return this.#long()
    if (/^(text|body|content|message|comment|caption|note|notes|review)$/.test(name)) return this.#long()
    return /^(location|address|city|place)$/.test(name) ? this.#once('location') : {}
  }

  #long(): Hint {
    const description = this.#once('description')
    return description.display_hint === undefined ? this.#once('compact_text') : description
  }

  #once(type: DisplayHintType): Hint {
    if (this.#given.has(type)) return {}
    this.#given.add(type)
    return { display_hint: { type } }
  }
}
