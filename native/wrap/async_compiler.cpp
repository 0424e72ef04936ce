#include "wrap/async_compiler.h"

#include "engine/compile_cache.h"
#include "wrap/call.h"

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

AsyncCompiler::AsyncCompiler(Jit &jit, unsigned threads) : jit_(jit), env_(jit.env) {
  connect();
  queue_ = std::make_unique<CompileQueue>(
      threads, jit.engine->machines(), [wake = wake_] { napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking); });
}

// The hook comes after the wake-up has set up its own, and so runs before that: threads end while there is something to wake.
void AsyncCompiler::connect() {
  Js js{env_};
  link_ = new Link{this};
  auto wake = [](napi_env env, napi_value, void *context, void *) {
    auto *compiler = static_cast<Link *>(context)->compiler;
    if (env && compiler)
      compiler->deliver();
  };
  auto drop = [](napi_env, void *, void *context) { delete static_cast<Link *>(context); };
  js.check(napi_create_threadsafe_function(env_, nullptr, nullptr, js.text("nomad-jit compile"), 0, 1, nullptr, drop, link_, wake,
                                           &wake_));
  js.check(napi_unref_threadsafe_function(env_, wake_));
  js.check(napi_add_env_cleanup_hook(env_, endWithEnvironment, this));
}

AsyncCompiler::~AsyncCompiler() {
  if (!queue_)
    return;
  napi_remove_env_cleanup_hook(env_, endWithEnvironment, this);
  shutDown();
}

void AsyncCompiler::endWithEnvironment(void *compiler) { static_cast<AsyncCompiler *>(compiler)->shutDown(); }

void AsyncCompiler::shutDown() {
  cancel();
  queue_.reset();
  link_->compiler = nullptr;
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
}

void AsyncCompiler::add(std::string source, CompileOptions options, napi_value done, Urgency urgency) {
  Js js{env_};
  CompileRequest request = jit_.engine->requestOf(options);
  Pending &pending = pending_.emplace_back(Pending{std::move(options), nullptr, urgency, nullptr});
  js.check(napi_create_reference(env_, done, 1, &pending.done));
  if (urgency == Urgency::Awaited && awaited_++ == 0)
    js.check(napi_ref_threadsafe_function(env_, wake_));
  auto isKnown = askCache(request, pending);
  queue_->add(std::move(source), std::move(request), std::move(isKnown));
}

CompileQueue::IsKnown AsyncCompiler::askCache(const CompileRequest &request, Pending &pending) {
  auto cache = jit_.engine->cache();
  if (!cache)
    return nullptr;
  pending.answer = std::make_shared<CacheAnswer>();
  return [cache, request, answer = pending.answer, options = pending.options](std::string &source) {
    answer->key = cache->key(source, request, options);
    bool isKnown = cache->find(answer->key) != nullptr;
    if (isKnown)
      answer->source = std::move(source);
    return isKnown;
  };
}

void AsyncCompiler::replace(Handle from, Handle to) {
  for (Pending &pending : pending_)
    for (Import &import : pending.options.imports)
      if (import.object == from)
        import.object = to;
}

void AsyncCompiler::forget(Handle handle) { replace(handle, goneHandle); }

void AsyncCompiler::cancel() {
  if (queue_)
    queue_->cancel();
  for (Pending &pending : pending_)
    release(pending);
  pending_.clear();
}

bool AsyncCompiler::isIdle() { return !queue_ || queue_->isIdle(); }

void AsyncCompiler::release(Pending &pending) {
  Js js{env_};
  js.check(napi_delete_reference(env_, pending.done));
  if (pending.urgency == Urgency::Awaited && --awaited_ == 0)
    js.check(napi_unref_threadsafe_function(env_, wake_));
}

// One result for each wake-up, so that what a promise leads to runs before the next one is linked.
void AsyncCompiler::deliver() {
  auto object = queue_->take();
  if (!object)
    return;
  Js js{env_};
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  napi_value done = nullptr, ignored = nullptr;
  js.check(napi_get_reference_value(env_, pending.done, &done));
  release(pending);
  Handle handle = 0;
  napi_value error = js.undefined();
  if (auto linked = link(std::move(*object), pending))
    handle = *linked;
  else
    error = makeError(js, jit_, linked.takeError());
  napi_value arguments[] = {error ? error : js.undefined(), js.number(handle)};
  js.check(napi_call_function(env_, js.undefined(), done, 2, arguments, &ignored));
}

// What the cache has may be gone or damaged by now: then it is compiled here.
Expected<Handle> AsyncCompiler::link(Expected<ObjectFile> object, const Pending &pending) {
  if (!object)
    return object.takeError();
  if (!object->bytes)
    return jit_.engine->compile(pending.answer->source, pending.options);
  return jit_.engine->link(std::move(*object), pending.options, pending.answer ? pending.answer->key : "");
}
