// SPDX-License-Identifier: Apache-2.0
// What strangers get to read, and what they cannot do to who shows it.
#include "serve/page.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "serve/http.hpp"
#include "sys/error.hpp"

namespace {

using namespace std::chrono_literals;

const serve::Form form{"/metrics", "text/x-of-ours"};
constexpr const char* usual = "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n";

sys::Fd connectTo(unsigned port)
{
    sys::Fd made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    EXPECT_EQ(connect(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return made;
}

sys::Fd connectTo(const serve::Page& page)
{
    return connectTo(page.port());
}

void say(const sys::Fd& to, std::string_view what)
{
    EXPECT_EQ(send(to.get(), what.data(), what.size(), MSG_NOSIGNAL), static_cast<ssize_t>(what.size()));
}

std::string readAll(const sys::Fd& from)
{
    std::string found;
    char bytes[65536];
    for (ssize_t n = 0; (n = recv(from.get(), bytes, sizeof bytes, 0)) > 0;) {
        found.append(bytes, static_cast<std::size_t>(n));
    }
    return found;
}

std::string ask(const serve::Page& page, std::string_view request)
{
    const sys::Fd connection = connectTo(page);
    say(connection, request);
    return readAll(connection);
}

std::string statusOf(const std::string& answer)
{
    return answer.substr(0, answer.find("\r\n"));
}

std::string bodyOf(const std::string& answer)
{
    return answer.substr(answer.find("\r\n\r\n") + 4);
}

// What is shown is taken a moment later.
void await(const serve::Page& page, const std::string& body)
{
    for (int i = 0; i < 1000 && bodyOf(ask(page, usual)) != body; ++i) {
        std::this_thread::sleep_for(10ms);
    }
    ASSERT_EQ(bodyOf(ask(page, usual)), body);
}

// The process behind the one page that there is: the newest child, for other tests may have left some that nothing
// could wait for.
pid_t serverOf()
{
    std::ifstream children("/proc/self/task/" + std::to_string(gettid()) + "/children");
    pid_t newest = 0;
    for (pid_t child = 0; children >> child;) {
        newest = child;
    }
    EXPECT_GT(newest, 0);
    return newest;
}

TEST(Page, AnswersWhatItWasShown)
{
    serve::Page page("127.0.0.1:0", form);
    EXPECT_EQ(statusOf(ask(page, usual)), "HTTP/1.1 503 Service Unavailable");
    ASSERT_TRUE(page.show("one 1\n"));
    await(page, "one 1\n");
    const std::string answer = ask(page, usual);
    EXPECT_EQ(statusOf(answer), "HTTP/1.1 200 OK");
    EXPECT_NE(answer.find("Content-Type: text/x-of-ours\r\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Content-Length: 6\r\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
    const std::string head = ask(page, "HEAD /metrics?now HTTP/1.0\r\n\r\n");
    EXPECT_NE(head.find("Content-Length: 6\r\n"), std::string::npos) << head;
    EXPECT_EQ(bodyOf(head), "");
    ASSERT_TRUE(page.showObstacle("the node is on fire\n"));
    await(page, "the node is on fire\n");
    EXPECT_EQ(statusOf(ask(page, usual)), "HTTP/1.1 503 Service Unavailable");
    ASSERT_TRUE(page.show("two 2\n"));
    await(page, "two 2\n");
}

TEST(Page, OneThatIsLarge)
{
    serve::Page page("127.0.0.1:0", form);
    const std::string text(serve::maxText, 'x');
    ASSERT_TRUE(page.show(text));
    await(page, text);
    while (!page.show(text + "x")) {
        std::this_thread::sleep_for(1ms);
    }
    await(page, "There is more than 33554432 bytes of it.\n");
}

const std::vector<std::pair<std::string, const char*>>& wrongRequests()
{
    static const std::vector<std::pair<std::string, const char*>> cases =
        {{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"},
         {"GET /metrics/ HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"},
         {"GET /../metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"},
         {"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
         {"DELETE /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
         {"hello\r\n\r\n", "HTTP/1.1 400 Bad Request"},
         {std::string("\0\xff\r\n\r\n", 6), "HTTP/1.1 400 Bad Request"},
         {"GET /metrics HTTP/9.9\r\n\r\n", "HTTP/1.1 400 Bad Request"},
         {"GET /" + std::string(9000, 'a'), "HTTP/1.1 431 Request Header Fields Too Large"},
         {"GET /metrics HTTP/1.1\r\nA: " + std::string(9000, 'a'), "HTTP/1.1 431 Request Header Fields Too Large"}};
    return cases;
}

TEST(Page, WhatIsNoRequestForIt)
{
    serve::Page page("127.0.0.1:0", form);
    ASSERT_TRUE(page.show("one 1\n"));
    await(page, "one 1\n");
    for (const auto& [request, status] : wrongRequests()) {
        EXPECT_EQ(statusOf(ask(page, request)), status) << request.substr(0, 40);
    }
    EXPECT_EQ(bodyOf(ask(page, usual)), "one 1\n");
}

// As the process does it, in this one: sanitizers do not fit into the memory that it has.
TEST(Answers, ToRequestsOfAllKinds)
{
    const sys::Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(listener.get(), 64), 0);
    ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    int channel[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
    const sys::Fd mine(channel[0]);
    sys::Fd theirs(channel[1]);
    std::jthread server([&] {
        serve::answerAll(listener.get(), theirs.get(), form);
        theirs.reset();
    });
    std::vector<sys::Fd> silent;
    for (std::size_t i = 0; i < serve::maxConnections * 2; ++i) {
        silent.push_back(connectTo(ntohs(address.sin_port)));
        const auto& [request, status] = wrongRequests()[i % wrongRequests().size()];
        const sys::Fd connection = connectTo(ntohs(address.sin_port));
        say(connection, request);
        EXPECT_EQ(statusOf(readAll(connection)), status) << request.substr(0, 40);
    }
    shutdown(mine.get(), SHUT_RDWR);
}

TEST(Page, ARequestInPieces)
{
    serve::Page page("127.0.0.1:0", form);
    ASSERT_TRUE(page.show("one 1\n"));
    await(page, "one 1\n");
    const sys::Fd connection = connectTo(page);
    for (const char* byte = usual; *byte != '\0'; ++byte) {
        say(connection, {byte, 1});
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(bodyOf(readAll(connection)), "one 1\n");
}

TEST(Page, WhoSaysNothingKeepsNobodyOut)
{
    serve::Page page("127.0.0.1:0", form);
    ASSERT_TRUE(page.show("one 1\n"));
    await(page, "one 1\n");
    std::vector<sys::Fd> silent;
    for (std::size_t i = 0; i < serve::maxConnections * 3; ++i) {
        silent.push_back(connectTo(page));
        say(silent.back(), "GET /metrics");
        if (i % 16 == 0) {
            EXPECT_EQ(bodyOf(ask(page, usual)), "one 1\n");
        }
    }
    EXPECT_EQ(bodyOf(ask(page, usual)), "one 1\n");
    // The oldest have gone for the others.
    EXPECT_EQ(readAll(silent.front()), "");
}

TEST(Page, WhoReadsNothingHoldsNobodyUp)
{
    serve::Page page("127.0.0.1:0", form);
    const std::string text(16UL << 20, 'x');
    ASSERT_TRUE(page.show(text));
    await(page, text);
    std::vector<sys::Fd> lazy;
    for (int i = 0; i < 8; ++i) {
        lazy.push_back(connectTo(page));
        say(lazy.back(), usual);
        char first = 0;  // it is being answered
        ASSERT_EQ(recv(lazy.back().get(), &first, 1, 0), 1);
    }
    ASSERT_TRUE(page.show("two 2\n"));
    await(page, "two 2\n");
    EXPECT_EQ(bodyOf(readAll(lazy.front())), text);
}

TEST(Page, ItsProcessThatStandsStillIsNotWaitedFor)
{
    serve::Page page("127.0.0.1:0", form);
    ASSERT_EQ(kill(serverOf(), SIGSTOP), 0);
    ASSERT_TRUE(page.show("one 1\n"));
    EXPECT_FALSE(page.show("two 2\n"));
    EXPECT_FALSE(page.show("three 3\n"));
    ASSERT_EQ(kill(serverOf(), SIGCONT), 0);
    await(page, "one 1\n");
    EXPECT_TRUE(page.show("four 4\n"));
    await(page, "four 4\n");
}

TEST(Page, ItsProcessThatHasEndedIsMissed)
{
    serve::Page page("127.0.0.1:0", form);
    ASSERT_EQ(kill(serverOf(), SIGKILL), 0);
    const auto showUntilItFails = [&] {
        for (int i = 0; i < 1000; ++i) {
            page.show("one 1\n");
            std::this_thread::sleep_for(10ms);
        }
    };
    EXPECT_THROW(showUntilItFails(), sys::Error);
}

TEST(Page, ItsProcessHasNothingElse)
{
    const sys::Fd other(socket(AF_INET, SOCK_STREAM, 0));
    serve::Page page("127.0.0.1:0", form);
    ASSERT_TRUE(page.show("one 1\n"));
    await(page, "one 1\n");
    const std::string of = "/proc/" + std::to_string(serverOf());
    std::ifstream status(of + "/status");
    std::string seccomp;
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("Seccomp:")) {
            seccomp = line;
        }
    }
    EXPECT_EQ(seccomp, "Seccomp:\t2");
    // The connection that was answered last is closed a moment later.
    std::ptrdiff_t count = 0;
    for (int i = 0; i < 1000 && count != 2; ++i) {
        const std::filesystem::directory_iterator held(of + "/fd");
        count = std::distance(begin(held), end(held));
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(count, 2);
}

std::string refusal(const std::string& address)
{
    try {
        const serve::Page page(address, form);
    } catch (const sys::Error& error) {
        return error.what();
    }
    ADD_FAILURE() << address << " is listened at";
    return "";
}

TEST(Page, AddressesThatAreNone)
{
    for (const char* address : {"",
                                ":",
                                ":80",
                                "80",
                                "localhost:80",
                                "127.0.0.1",
                                "127.0.0.1:",
                                "127.0.0.1:65536",
                                "127.0.0.1:http",
                                "::1:80",
                                "[127.0.0.1]:80",
                                "[::1:80",
                                "/run/socket",
                                "[]:80",
                                ":0",
                                "[:0",
                                "]:0",
                                "127.1:0",
                                "127.0.0.1 :0",
                                "127.0.0.1: 0",
                                "127.0.0.1:+0",
                                "127.0.0.1:-1",
                                "[::1%]:0",
                                "[::1%lo]:0",
                                "[fe80::1%]:0",
                                "[fe80::1%none-of-this-name]:0"}) {
        EXPECT_NE(refusal(address).find("an address has digits and a port"), std::string::npos) << address;
    }
    // That it is nobody's here, if nothing else.
    for (const char* address : {"192.0.2.1:0", "[2001:db8::1]:0", "[fe80::1%lo]:0", "[fe80::1%1]:0"}) {
        EXPECT_EQ(refusal(address).find("an address has digits and a port"), std::string::npos) << address;
    }
    const serve::Page page("127.0.0.1:0", form);
    EXPECT_NE(refusal("127.0.0.1:" + std::to_string(page.port())).find("Address already in use"), std::string::npos);
}

}  // namespace
