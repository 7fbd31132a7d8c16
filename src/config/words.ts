/** What the API calls the processing of a field: `content_type` in `PUT …/settings`. */
export const contentTypes = [
  'image_url',
  'video_url',
  'website_url',
  'datetime',
  'metadata',
  // Newer than the contract that this package follows; the API is known to take them.
  'audio_url',
  'card',
] as const

/** How the API's console shows a field: `display_hint.type` in `PUT …/settings`. */
export const displayHints = [
  'title',
  'subtitle',
  'description',
  'primary_image_url',
  'video_url',
  'location',
  'compact_text',
  'markdown',
  'html',
  'email.reply_to',
  'email.body',
  'email.subject',
  'email.body_image',
  'email.logo_image',
  'email.event',
  'email.footer',
  // Newer than the contract that this package follows; the API is known to take them.
  'audio_url',
  'date',
  'card',
  'chat_thread',
] as const

export type ContentType = (typeof contentTypes)[number]
export type DisplayHintType = (typeof displayHints)[number]
