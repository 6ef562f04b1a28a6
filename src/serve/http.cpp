// SPDX-License-Identifier: Apache-2.0
#include "serve/http.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <list>
#include <memory>
#include <sstream>
#include <string_view>

#include "confine/message.hpp"
#include "sys/error.hpp"
#include "sys/loop.hpp"

namespace serve {

namespace {

namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

constexpr std::size_t longestRequest = 8192;

// Shared by the connections that are still being sent it when another has come.
using Body = std::shared_ptr<const std::string>;

struct Shown {
    Form form;
    bool sound = false;
    Body body = std::make_shared<const std::string>("There is nothing yet; ask again.\n");
};

struct Answer {
    std::string head;
    Body body;
};

Answer answerWith(http::status status, const std::string& type, Body body, bool headOnly = false)
{
    http::response<http::empty_body> message(status, 11);
    message.set(http::field::content_type, type);
    message.content_length(body->size());
    message.keep_alive(false);
    if (status == http::status::method_not_allowed) {
        message.set(http::field::allow, "GET, HEAD");
    }
    std::ostringstream head;
    head << message.base();
    return {head.str(), headOnly ? std::make_shared<const std::string>() : std::move(body)};
}

Answer refuse(http::status status, const std::string& why)
{
    return answerWith(status, "text/plain; charset=utf-8", std::make_shared<const std::string>(why + "\n"));
}

Answer answerTo(const http::request_header<>& request, const Shown& shown)
{
    const bool headOnly = request.method() == http::verb::head;
    if (!headOnly && request.method() != http::verb::get) {
        return refuse(http::status::method_not_allowed, "Only GET and HEAD are answered.");
    }
    const std::string_view target(request.target().data(), request.target().size());
    if (target.substr(0, target.find('?')) != shown.form.path) {
        return refuse(http::status::not_found, "There is " + shown.form.path + ", and nothing else.");
    }
    return shown.sound
               ? answerWith(http::status::ok, shown.form.type, shown.body, headOnly)
               : answerWith(http::status::service_unavailable, "text/plain; charset=utf-8", shown.body, headOnly);
}

class Connection {
public:
    explicit Connection(sys::Fd socket) : socket_(std::move(socket)) { parser_.header_limit(longestRequest); }

    int socket() const { return socket_.get(); }
    Clock::time_point until() const { return until_; }
    short awaited() const { return answer_ ? POLLOUT : POLLIN; }

    // Goes on as far as it can. False: it is over.
    bool goOn(const Shown& shown) { return answer_ ? write() : read(shown); }

private:
    bool read(const Shown& shown)
    {
        char bytes[longestRequest];
        const ssize_t n = recv(socket_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        request_.append(bytes, static_cast<std::size_t>(n));
        boost::beast::error_code error;
        request_.erase(0, parser_.put(boost::asio::buffer(request_), error));
        if (parser_.is_header_done()) {
            answer_ = answerTo(parser_.get().base(), shown);
        } else if (error == http::error::header_limit || request_.size() > longestRequest) {
            answer_ = refuse(http::status::request_header_fields_too_large, "The request is too long.");
        } else if (error && error != http::error::need_more) {
            answer_ = refuse(http::status::bad_request, "That is no request of HTTP.");
        }
        return true;
    }

    bool write()
    {
        const std::string_view head = answer_->head;
        const bool inHead = sent_ < head.size();
        const std::string_view rest =
            inHead ? head.substr(sent_) : std::string_view(*answer_->body).substr(sent_ - head.size());
        const ssize_t n = send(socket_.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        sent_ += static_cast<std::size_t>(n);
        if (sent_ < head.size() + answer_->body->size()) {
            return true;
        }
        shutdown(socket_.get(), SHUT_WR);
        return false;
    }

    sys::Fd socket_;
    Clock::time_point until_ = Clock::now() + patience;
    http::request_parser<http::empty_body> parser_;
    std::string request_;  // what the parser has not taken yet
    std::optional<Answer> answer_;
    std::size_t sent_ = 0;
};

class Server {
public:
    Server(int listener, int channel, const Form& form) : listener_(listener), channel_(channel), shown_{.form = form}
    {
        listening_ = loop_.watch(listener, POLLIN, [this](short) { accept(); });
        told_ = loop_.watch(channel, POLLIN, [this](short) { ended_ = !take(); });
    }

    void run()
    {
        while (!ended_) {
            loop_.wait(std::chrono::milliseconds(1000));
            while (!open_.empty() && open_.front().connection.until() <= Clock::now()) {
                open_.pop_front();
            }
        }
    }

private:
    // In the order in which they have come.
    struct Open {
        explicit Open(sys::Fd socket) : connection(std::move(socket)) {}
        Connection connection;
        sys::Loop::Watch watch;  // goes first
    };
    using Place = std::list<Open>::iterator;

    void accept()
    {
        sys::Fd socket(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) {
            return;  // it has gone again; or there is no memory, and others may end meanwhile
        }
        if (open_.size() == maxConnections) {
            open_.pop_front();
        }
        const Place place = open_.emplace(open_.end(), std::move(socket));
        await(place);
    }

    void await(Place place)
    {
        Connection& connection = place->connection;
        place->watch = loop_.watch(connection.socket(), connection.awaited(), [this, place](short) {
            const short before = place->connection.awaited();
            if (!place->connection.goOn(shown_)) {
                open_.erase(place);
            } else if (place->connection.awaited() != before) {
                await(place);
            }
        });
    }

    // False: the channel has ended.
    bool take()
    {
        const auto found = confine::receiveDescriptors(channel_, 1, {});
        if (!found) {
            return false;
        }
        const int file = found->front().get();
        struct stat st;
        if (fstat(file, &st) != 0 || st.st_size < 1) {
            throw sys::errnoError("read what is to be served");
        }
        std::string text(static_cast<std::size_t>(st.st_size), '\0');
        if (pread(file, text.data(), text.size(), 0) != st.st_size) {
            throw sys::errnoError("read what is to be served");
        }
        shown_.sound = text.front() == '1';
        shown_.body = std::make_shared<const std::string>(text.substr(1));
        return send(channel_, "", 1, MSG_NOSIGNAL) == 1;
    }

    int listener_, channel_;
    Shown shown_;
    bool ended_ = false;
    sys::Loop loop_;
    std::list<Open> open_;
    sys::Loop::Watch listening_, told_;
};

}  // namespace

void answerAll(int listener, int channel, const Form& form)
{
    Server(listener, channel, form).run();
}

}  // namespace serve
