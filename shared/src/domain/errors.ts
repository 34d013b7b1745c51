// The one table of error codes: code → HTTP status and title. A published code never changes its status.

export const errorCodes = {
  BAD_REQUEST: { status: 400, title: 'The request is not valid' },
  UNAUTHORIZED: { status: 401, title: 'An API key is required' },
  KEY_REVOKED: { status: 401, title: 'This API key was revoked' },
  KEY_EXPIRED: { status: 401, title: 'This API key has expired' },
  FORBIDDEN: { status: 403, title: 'This API key may not do that' },
  NOT_FOUND: { status: 404, title: 'Not found' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'This path does not have that method' },
  NOT_ACCEPTABLE: { status: 406, title: 'None of the accepted media types is offered' },
  CONFLICT: { status: 409, title: 'The state of the resource does not allow that' },
  IDEMPOTENCY_IN_FLIGHT: { status: 409, title: 'A request with this Idempotency-Key is being answered at this moment' },
  PAYLOAD_TOO_LARGE: { status: 413, title: 'The request body is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The request body must be JSON' },
  IDEMPOTENCY_MISMATCH: { status: 422, title: 'This Idempotency-Key was used for another request' },
  UPGRADE_REQUIRED: { status: 426, title: 'This path speaks WebSocket' },
  TOO_MANY_REQUESTS: { status: 429, title: 'Too many requests' },
  INTERNAL_ERROR: { status: 500, title: 'Something broke on our side' },
  SERVICE_UNAVAILABLE: { status: 503, title: 'A part that this needs is away for the moment' },
} as const

export type ErrorCode = keyof typeof errorCodes

/** One invalid field of a request: a JSON Pointer (RFC 6901) into the body, or the name of a query or path parameter. */
export interface FieldError {
  readonly pointer?: string
  readonly parameter?: string
  readonly message: string
}

/** Thrown by the domain, ports and use cases; the problem middleware turns it into an answer. The caller sees `detail`. */
export class DomainError extends Error {
  readonly code: ErrorCode
  readonly fields: readonly FieldError[]
  /** Seconds after which it may be worth asking again. */
  readonly retryAfterS: number | null
  constructor(
    code: ErrorCode,
    detail: string = errorCodes[code].title,
    options: { fields?: readonly FieldError[]; cause?: unknown; retryAfterS?: number } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DomainError'
    this.code = code
    this.fields = options.fields ?? []
    this.retryAfterS = options.retryAfterS ?? null
  }
}

/** Why a task did not succeed (`error_code` of a task). */
export const taskErrorCodes = [
  'RATE_LIMITED',
  'AUTH_FAILED',
  'TIMEOUT',
  'STALE_WORKER',
  'AGENT_ERROR',
  'INVALID_SPEC',
  'POD_UNAVAILABLE',
  'IMAGE_PULL',
  'WORKSPACE_ERROR',
  'EMPTY_RESULT',
  'SESSION_MISSING',
  'TOOL_DENIED',
  'CANCELLED',
  'LOST',
  'QUEUE_EXPIRED',
  'BINARY_MISSING',
  'INTERNAL',
] as const
export type TaskErrorCode = (typeof taskErrorCodes)[number]

/** The codes in the published document. IMAGE_PULL is not among them, because no agent produces it yet; hubs accept it. */
export const publishedTaskErrorCodes: readonly TaskErrorCode[] = taskErrorCodes.filter((code) => code !== 'IMAGE_PULL')
