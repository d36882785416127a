//! The two calls of librdkafka that its Rust binding does not wrap, and nothing else: DescribeTopics (for topic ids) and
//! reading record headers whose names are not UTF-8, at which the binding panics.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;

use crate::record::Header;

/// The topic's id in Kafka's base64 form, or why it cannot be had. `None` when the topic does not exist. Blocks for up to
/// `timeout`.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let name = CString::new(topic).map_err(|_| format!("{topic:?} is not a topic name"))?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut names = [name.as_ptr()];
    // SAFETY: `client` outlives every pointer below; each object that librdkafka hands out is destroyed once, after the
    // last use of what points into it; `names` and `name` live until DescribeTopics has copied them.
    unsafe {
        let rk = client.native_ptr();
        let options = sys::rd_kafka_AdminOptions_new(
            rk,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut reason = [0 as c_char; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            reason.as_mut_ptr(),
            reason.len(),
        );
        let queue = sys::rd_kafka_queue_new(rk);
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        let answer = if event.is_null() {
            Err(format!("no answer within {timeout_ms} ms"))
        } else {
            topic_id_in(event)
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is a live event of a DescribeTopics call for one topic.
unsafe fn topic_id_in(event: *mut sys::rd_kafka_event_t) -> Result<Option<String>, String> {
    // SAFETY: everything read here belongs to `event`, which the caller keeps alive; strings are copied out.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Err(text(sys::rd_kafka_event_error_string(event)));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("an answer to another question".to_owned());
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Ok(None);
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        if !error.is_null() {
            return match sys::rd_kafka_error_code(error) {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(None),
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => Ok(None),
                _ => Err(text(sys::rd_kafka_error_string(error))),
            };
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null() {
            return Err("the cluster gives topics no ids (Kafka has them since 2.8)".to_owned());
        }
        // Kafka writes ids in the URL-safe alphabet, librdkafka in the other.
        let id = text(sys::rd_kafka_Uuid_base64str(id));
        Ok(Some(
            id.replace('+', "-")
                .replace('/', "_")
                .trim_end_matches('=')
                .to_owned(),
        ))
    }
}

/// The record's headers in their order. A name that is not UTF-8 has its bad bytes replaced.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut all = Vec::new();
    // SAFETY: `message` owns the headers and outlives this function; names are NUL-terminated, values have `size` bytes,
    // and both are copied.
    unsafe {
        let mut headers = ptr::null_mut();
        let found = sys::rd_kafka_message_headers(message.ptr(), &mut headers);
        if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return all;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let found =
                sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let value = (!value.is_null())
                .then(|| Bytes::copy_from_slice(std::slice::from_raw_parts(value.cast(), size)));
            all.push(Header {
                name: text(name),
                value,
            });
        }
    }
    all
}

/// # Safety
/// `pointer` is null or points to a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}
